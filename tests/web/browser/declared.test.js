// The tunnel "home" and the forward "web" come from a file, the forward "own" from the API.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { checkAccessible, openPage, row, tunnel } from './page.js';

test('what comes from a file cannot be changed here, and says why', async () => {
  const page = await openPage();
  const remove = row(page, 'web').getByRole('button', { name: 'Delete web' });
  await remove.waitFor();
  assert.ok(await remove.isDisabled());
  assert.equal(await remove.getAttribute('title'), 'It comes from a file: change it there');
  assert.ok(await row(page, 'web').getByRole('button', { name: 'Disable web' }).isDisabled());
  assert.ok(await tunnel(page, 'home').getByRole('button', { name: 'Delete home' }).isDisabled());
  assert.equal(await row(page, 'web').locator('.column-source').innerText(), 'file');
  assert.ok(await row(page, 'own').getByRole('button', { name: 'Delete own' }).isEnabled());
  await checkAccessible(page);
});
