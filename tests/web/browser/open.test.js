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
