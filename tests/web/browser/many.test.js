// 5,000 forwards over 200 tunnels: "forward-0000" to "forward-4999" over "site-000" to "site-199",
// every tenth disabled.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { call, checkAccessible, openPage, row, shoot } from './page.js';

const count = (page) => page.locator('#forward-count');

test('the first rows are there at once, and then all, a page at a time', async (t) => {
  const page = await openPage();
  const tell = async (what) => t.diagnostic(`${what} after ${Math.round(await page.evaluate(() => performance.now()))} ms`);
  await page.reload();
  await row(page, 'forward-0000').waitFor();
  await tell('the first rows');
  await count(page).getByText('1–50 of 5,000').waitFor();
  await tell('all');
  assert.equal(await page.locator('#forward-rows > tr').count(), 50);
  await page.getByText('All 4,700 ready, 500 disabled').waitFor();
  await shoot(page, 'many');
  await page.getByRole('button', { name: 'Next' }).first().click();
  await row(page, 'forward-0050').waitFor();
  await checkAccessible(page);
});

test('a search finds one of all, and is kept up to date', async (t) => {
  const page = await openPage();
  await count(page).getByText('1–50 of 5,000').waitFor();
  const spent = await page.evaluate(async () => {
    const search = document.getElementById('search');
    const times = [];
    for (const text of ['f', 'forward-4', 'forward-48', 'forward-481', 'forward-4811']) {
      const begun = performance.now();
      search.value = text;
      search.dispatchEvent(new Event('input'));
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
      times.push(Math.round(performance.now() - begun));
    }
    return times;
  });
  t.diagnostic(`keystrokes, each until it is painted: ${spent.join(', ')} ms`);
  await count(page).getByText('1–1 of 1 found in 5,000').waitFor();
  await call('PATCH', '/v1/forwards/forward-4811', { target: { port: 4242 } });
  await row(page, 'forward-4811').getByText('10.9.0.1:4242').waitFor();
  await page.getByRole('button', { name: 'show all' }).click();
  await page.getByLabel('State', { exact: true }).selectOption('disabled');
  await count(page).getByText('1–50 of 500 found in 5,000').waitFor();
  await page.getByLabel('Tunnel', { exact: true }).selectOption('site-019');
  await count(page).getByText('1–25 of 25 found in 5,000').waitFor();
});
