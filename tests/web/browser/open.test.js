// A service with --auth none.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { checkAccessible, openPage } from './page.js';

test('no token is asked for, and the page warns', async () => {
  const page = await openPage({ as: null });
  await page.getByText('Nothing is defined yet').waitFor();
  await page.getByText('Whoever reaches this address may change everything').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Sign out' }).count(), 0);
  assert.doesNotMatch(await page.locator('#first-command').innerText(), /Authorization/);
  await checkAccessible(page);
});

test('text from outside stays text; a service that drains says so', async () => {
  const hostile = '<img src=x onerror="document.title=1"><script>document.title=2</script>';
  const since = new Date().toISOString();
  const problem = { kind: 'forward', name: 'web', condition: 'Listening', reason: hostile, message: hostile, since };
  const event = { id: 1, time: since, type: hostile, kind: hostile, name: hostile, reason: hostile, message: hostile, actor: hostile };
  const change = (path, edit) => (page) =>
    page.route(path, async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: edit(await response.json()) });
    });
  const page = await openPage({
    as: null,
    async prepare(opening) {
      await change('**/v1/status', (status) => ({ ...status, problems: [problem], problems_total: 1, draining: true }))(opening);
      await opening.route('**/v1/events*', (route) => route.fulfill({ json: { items: [event], next_since: 1 } }));
    },
  });
  await page.locator('#problem-list').getByText(hostile).first().waitFor();
  await page.locator('#event-list').getByText(hostile).first().waitFor();
  assert.equal(await page.locator('main img, main script').count(), 0);
  assert.equal(await page.title(), '▲ 1 · manytun');
  await page.getByText('The service is ending').waitFor();
});
