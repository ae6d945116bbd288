// After a restart on a host where ports are taken: the outer port of the tunnel "home", which the
// forward "web" uses, and the port of the forward "database".
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { checkAccessible, openPage, row, shoot, tunnel } from './page.js';

test('problems come first, each with its reason and what to do', async () => {
  const page = await openPage();
  await page.getByText('3 problems; 2 ready').waitFor();
  const items = page.locator('#problem-list > li');
  assert.equal(await items.count(), 3);
  const first = await items.first().innerText();
  assert.match(first, /tunnel\s+home\s+AddressInUse\s+for \d+ (s|min)/);
  assert.match(first, /ss -l/);
  await tunnel(page, 'home').getByText('Problem', { exact: true }).waitFor();
  await row(page, 'web').getByText('TunnelNotReady').waitFor();
  await shoot(page, 'broken');
  await checkAccessible(page);
});

test('a problem leads to its object', async () => {
  const page = await openPage();
  await page.locator('#problem-list').getByRole('button', { name: 'database' }).click();
  await row(page, 'web').waitFor({ state: 'detached' });
  await row(page, 'database').getByText('AddressInUse').waitFor();
  assert.equal(await page.getByLabel('Search the forwards').inputValue(), 'database');
});

test('the counts filter by problem', async () => {
  const page = await openPage();
  await page.getByRole('button', { name: 'Forwards ready' }).click();
  await row(page, 'ssh').waitFor({ state: 'detached' });
  await row(page, 'database').waitFor();
  await page.getByRole('button', { name: 'Tunnels ready' }).click();
  await tunnel(page, 'office').waitFor({ state: 'detached' });
  await page.getByText('1–1 of 1 with problems').waitFor();
});
