// A service without any definition: signing in, and the first tunnel and forward.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { call, checkAccessible, openPage, row, shoot, token, tunnel } from './page.js';

const PRIVATE_KEY = 'AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=';
const PEER_KEY = 'AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=';

test('a token is asked for, checked, and kept out of the address', async () => {
  const page = await openPage({ as: null });
  await page.getByLabel('Token').fill('wrong');
  await page.keyboard.press('Enter');
  await page.getByText('This is not a valid token.').waitFor();
  await shoot(page, 'sign-in');
  await checkAccessible(page);
  await page.getByLabel('Token').fill(token);
  await page.keyboard.press('Enter');
  await page.getByText('Nothing is defined yet').waitFor();
  assert.equal(new URL(page.url()).search + new URL(page.url()).hash, '');

  await page.reload();
  await page.getByText('Nothing is defined yet').waitFor();
  const other = await page.context().newPage();
  await other.goto(page.url());
  await other.getByRole('heading', { name: 'Sign in' }).waitFor();
  await other.close();

  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
});

test('the empty state has the command that makes the first tunnel', async () => {
  const page = await openPage();
  await page.getByText('Nothing is defined yet').waitFor();
  await page.getByRole('button', { name: 'Copy the command' }).click();
  await page.getByText('Copied the command').waitFor();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(command, /^curl -X POST 'http:\/\/[^']+\/v1\/tunnels'/);
  assert.ok(!command.includes(token));
  await shoot(page, 'empty');
  await checkAccessible(page);
});

test('a tunnel and a forward are added with the keyboard alone', async () => {
  const page = await openPage();
  await page.getByRole('button', { name: 'Add a tunnel' }).first().focus();
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog', { name: 'Add a tunnel' });
  await dialog.waitFor();
  await page.keyboard.type('Not A Name');
  await page.keyboard.press('Enter');
  await dialog.getByText('must match', { exact: false }).or(dialog.locator('.error:not([hidden])').first()).waitFor();
  assert.equal(await dialog.getByLabel('Name').getAttribute('aria-invalid'), 'true');
  await checkAccessible(page);

  await dialog.getByLabel('Name').fill('home');
  await dialog.getByLabel('Private key', { exact: true }).fill(PRIVATE_KEY);
  assert.equal(await dialog.getByLabel('Private key', { exact: true }).getAttribute('type'), 'password');
  await dialog.getByLabel('Addresses of the tunnel').fill('10.9.0.2/32, fd09::2/128');
  await dialog.getByLabel('Public key').fill(PEER_KEY);
  await dialog.getByLabel('Endpoint').fill('127.0.0.1:51820');
  await dialog.getByLabel('Allowed IPs').fill('192.168.4.0/24');
  await page.keyboard.press('Enter');
  await tunnel(page, 'home').waitFor();
  assert.deepEqual((await call('GET', '/v1/tunnels/home')).addresses, ['10.9.0.2/32', 'fd09::2/128']);

  await page.getByRole('button', { name: 'Add a forward' }).focus();
  await page.keyboard.press('Enter');
  const forward = page.getByRole('dialog', { name: 'Add a forward' });
  await forward.getByLabel('Name').fill('web');
  await forward.getByLabel('Target address').fill('192.168.4.2');
  await forward.getByLabel('Target port').fill('99999');
  await page.keyboard.press('Enter');
  await forward.getByText('must be an integer from 1 to 65535').waitFor();
  await shoot(page, 'add-forward');
  await forward.getByLabel('Target port').fill('80');
  await page.keyboard.press('Enter');
  await row(page, 'web').getByText('192.168.4.2:80').waitFor();
  assert.equal((await call('GET', '/v1/forwards/web')).tunnel, 'home');
});

test('Escape closes a dialog and changes nothing', async () => {
  const page = await openPage();
  await row(page, 'web').getByRole('button', { name: 'Delete web' }).click();
  await page.getByRole('dialog', { name: 'Delete the forward “web”?' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await call('GET', '/v1/forwards/web');
});
