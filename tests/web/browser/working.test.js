// A tunnel to a real peer with traffic: what is shown, and every action by clicking.
//
// The service has the tunnel "home" and the forwards "web" (one open connection that talks all the
// time, and one that has ended), "database", "metrics" and "spare".
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';

import { call, checkAccessible, openPage, row, shoot, tunnel } from './page.js';

// Stays open beside the others, so that its lines have samples when it is photographed.
let watching;

test('what works is shown, live, and in words', async () => {
  const page = await openPage({ lasting: true });
  watching = page;
  await page.getByText('All 5 ready').waitFor();
  await row(page, 'web').getByText('Ready', { exact: true }).waitFor();
  assert.match(await row(page, 'web').locator('.column-connections').innerText(), /1\s*of 2/);
  await tunnel(page, 'home').getByText(/\d+ (s|min) ago/).first().waitFor();
  const picture = tunnel(page, 'home').getByRole('img');
  await page.waitForFunction((node) => node.getAttribute('aria-label').startsWith('the last'), await picture.elementHandle());
  const { status } = await call('GET', '/v1/forwards/web');
  await row(page, 'web').getByText(`${status.bound.address}:${status.bound.port}`).waitFor();
  await checkAccessible(page);
});

test('a change from elsewhere appears without reloading', async () => {
  const page = await openPage();
  await row(page, 'spare').waitFor();
  await call('POST', '/v1/forwards', { name: 'later', tunnel: 'home', target: { host: '10.9.0.1', port: 7 } });
  await row(page, 'later').waitFor();
  await page.getByText('All 6 ready').waitFor();
  await call('DELETE', '/v1/forwards/later');
  await row(page, 'later').waitFor({ state: 'detached' });

  const events = page.locator('#event-list > li');
  await events.filter({ hasText: 'forward later deleted' }).getByText('token:admin').waitFor();
  await events.filter({ hasText: 'forward spare created' }).waitFor();
  await events.getByRole('button', { name: 'spare' }).first().click();
  await row(page, 'web').waitFor({ state: 'detached' });
});

test('a service that does not answer makes the page stale, and it recovers by itself', async () => {
  const page = await openPage({ prepare: (page) => page.clock.install() });
  await page.route('**/v1/**', (route) => route.abort());
  await page.clock.fastForward(10_000); // longer than an answer may take, and than until it is asked for
  await page.getByText('Stale', { exact: true }).waitFor();
  await page.getByText('The service does not answer').or(page.getByText('Failed to fetch')).first().waitFor();
  await page.unroute('**/v1/**');
  await page.clock.fastForward(20_000); // longer than it ever waits to ask again
  await page.getByText('Stale', { exact: true }).waitFor({ state: 'detached' });
});

test('without a stream of events the page asks for them', async () => {
  const isStream = (request) => request.headers().accept === 'text/event-stream';
  const prepare = (page) =>
    page.route('**/v1/events*', (route) => (isStream(route.request()) ? route.abort() : route.continue()));
  const page = await openPage({ prepare, live: 'Polling' });
  await call('PATCH', '/v1/forwards/spare', { idle_timeout_seconds: 60 });
  await page.locator('#event-list > li').filter({ hasText: 'forward spare changed' }).waitFor();
});

test('a reader sees everything, and nothing to change it with', async () => {
  const made = await call('POST', '/v1/tokens', { name: 'reader', role: 'read' });
  const page = await openPage({ as: made.token });
  await row(page, 'web').getByRole('button', { name: 'Copy web as curl' }).waitFor();
  assert.equal(await page.locator('#role').innerText(), 'read');
  for (const name of [/^Delete/, /^Disable/, /^Add/, /^Import/]) {
    assert.equal(await page.getByRole('button', { name }).count(), 0, String(name));
  }
  await call('DELETE', '/v1/tokens/reader');
  await page.getByText('This token is no longer valid.').waitFor();
});

test('a forward is disabled and enabled', async () => {
  const page = await openPage();
  await row(page, 'spare').getByRole('button', { name: 'Disable spare' }).click();
  await row(page, 'spare').getByText('Disabled', { exact: true }).waitFor();
  assert.equal((await call('GET', '/v1/forwards/spare')).enabled, false);
  await page.getByText('All 4 ready, 1 disabled').waitFor();
  await row(page, 'spare').getByRole('button', { name: 'Enable spare' }).click();
  await row(page, 'spare').getByText('Ready', { exact: true }).waitFor();
  assert.equal((await call('GET', '/v1/forwards/spare')).enabled, true);
});

test('counts, search and filters choose what is shown', async () => {
  const page = await openPage();
  await page.getByLabel('Search the forwards').fill('spa');
  await row(page, 'web').waitFor({ state: 'detached' });
  await page.getByText('1–1 of 1 found in 4').waitFor();
  await page.getByRole('button', { name: 'show all' }).click();
  await row(page, 'web').waitFor();
  const connections = page.getByRole('button', { name: 'Connections open' });
  await connections.click();
  await row(page, 'spare').waitFor({ state: 'detached' });
  assert.equal(await connections.getAttribute('aria-pressed'), 'true');
  await connections.click();
  await row(page, 'spare').waitFor();
  await page.getByLabel('State', { exact: true }).selectOption('problem');
  await page.getByText('No forward matches.').waitFor();
  await page.getByRole('button', { name: 'show all' }).click();
  await page.getByRole('columnheader', { name: 'Name' }).getByRole('button').click();
  assert.equal(await page.locator('#forward-rows > tr').first().getAttribute('data-name'), 'web');
  assert.equal(await page.getByRole('columnheader', { name: 'Name' }).getAttribute('aria-sort'), 'descending');
});

test('rows are copied as an address and as curl, without secrets', async () => {
  const page = await openPage();
  const copied = () => page.evaluate(() => navigator.clipboard.readText());
  await row(page, 'web').getByRole('button', { name: 'Copy the address of web' }).click();
  await page.getByText('Copied the address of web').waitFor();
  assert.match(await copied(), /^127\.0\.0\.1:\d+$/);
  await tunnel(page, 'home').getByRole('button', { name: 'Copy home as curl' }).click();
  await page.getByText('Copied home as curl').waitFor();
  const command = await copied();
  assert.match(command, /PUT '.*\/v1\/tunnels\/home'/);
  assert.doesNotMatch(command, /private_key|preshared/);
});

test('a wg-quick file is imported, with its errors at their lines and its keys hidden', async () => {
  const page = await openPage();
  await page.getByRole('button', { name: 'Import a wg-quick file' }).last().click();
  const dialog = page.getByRole('dialog', { name: 'Import a wg-quick file' });
  const key = 'AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=';
  const lines = ['[Interface]', `PrivateKey = ${key}`, 'Address = 10.77.0.2/32', 'DNS = 10.77.0.1', '[Peer]',
    'PublicKey = AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=', 'AllowedIPs = 10.77.0.0/24',
    'Endpoint = 127.0.0.1:51999'];
  const wrong = [...lines, 'Nonsense = <img src=x onerror=alert(1)>'];
  await dialog.getByLabel('File', { exact: true }).setInputFiles({ name: 'Branch.conf', mimeType: 'text/plain', buffer: Buffer.from(wrong.join('\n')) });
  assert.equal(await dialog.getByLabel('Name of the tunnel').inputValue(), 'branch');
  await dialog.getByRole('button', { name: 'Preview' }).click();
  await dialog.locator('li.wrong').getByText('Nonsense = <img').waitFor();
  await dialog.getByRole('alert').getByText('line 9').waitFor();
  assert.equal(await page.locator('img[src="x"]').count(), 0);

  await dialog.getByLabel('or its text').fill(lines.join('\n'));
  await dialog.getByLabel('or its text').blur();
  assert.equal(await dialog.locator('li.wrong').count(), 0);
  await dialog.getByRole('button', { name: 'Preview' }).click();
  await dialog.getByText('Tunnel branch: 10.77.0.2/32').waitFor();
  await dialog.getByText(/line 4: .*DNS/).waitFor();
  assert.ok(!(await page.content()).includes(key));
  await shoot(page, 'import');
  await checkAccessible(page);
  assert.equal((await call('GET', '/v1/tunnels')).items.length, 1);

  await dialog.getByLabel('Name of the tunnel').fill('home');
  await dialog.getByRole('button', { name: 'Preview' }).click();
  await dialog.getByText('There is a tunnel home: this replaces its definition.').waitFor();
  await dialog.getByLabel('Name of the tunnel').fill('branch');
  await dialog.getByRole('button', { name: 'Preview' }).click();
  await dialog.getByRole('button', { name: 'Import the tunnel' }).click();
  await tunnel(page, 'branch').getByText('10.77.0.0/24').waitFor();
  assert.deepEqual((await call('GET', '/v1/tunnels/branch')).addresses, ['10.77.0.2/32']);
  await call('DELETE', '/v1/tunnels/branch');
});

test('the support dump has no whole key', async () => {
  const page = await openPage();
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Support dump' }).click(),
  ]);
  const chunks = [];
  for await (const chunk of await download.createReadStream()) chunks.push(chunk);
  const dump = JSON.parse(Buffer.concat(chunks));
  assert.equal(dump.tunnels[0].name, 'home');
  assert.match(dump.tunnels[0].public_key, /^.{6}…$/);
  assert.match(dump.tunnels[0].peers[0].endpoint, /^\(host\):/);
});

test('dark, and on a phone', async () => {
  const dark = await openPage({ colorScheme: 'dark' });
  await row(dark, 'web').waitFor();
  const channels = (await dark.evaluate(() => getComputedStyle(document.body).backgroundColor)).match(/\d+/g);
  assert.ok(channels.every((channel) => Number(channel) < 64), channels.join());
  await shoot(dark, 'dark');
  await checkAccessible(dark);

  const phone = await openPage({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await row(phone, 'web').waitFor();
  const width = await phone.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 390, `it is ${width} wide`);
  await shoot(phone, 'phone');
  await checkAccessible(phone);

  await shoot(watching, 'healthy');
});

test('a target that refuses is a problem of a forward that is ready', async () => {
  const page = await openPage();
  const { status } = await call('GET', '/v1/forwards/metrics');
  const client = connect(status.bound.port, status.bound.address);
  client.on('error', () => {}); // it is reset, as it should be
  await new Promise((resolve) => client.once('close', resolve));
  await row(page, 'metrics').getByText('▲ ConnectionRefused').waitFor();
  await row(page, 'metrics').getByText('Ready', { exact: true }).waitFor();
  assert.match(await row(page, 'metrics').locator('.column-error').innerText(), /refused\s*(just now|\d+ s ago)/);
  await page.getByText('1 problem; 5 ready').waitFor();
  const problem = await page.locator('#problem-list > li').innerText();
  assert.match(problem, /forward\s+metrics\s+ConnectionRefused/);
  await page.getByLabel('State', { exact: true }).selectOption('problem');
  await row(page, 'web').waitFor({ state: 'detached' });
  await row(page, 'metrics').waitFor();
});

test('deleting names the connections that it drops, and wants the version that was seen', async () => {
  const page = await openPage();
  await row(page, 'web').getByRole('button', { name: 'Delete web' }).click();
  const dialog = page.getByRole('dialog', { name: 'Delete the forward “web”?' });
  await dialog.getByText('This drops 1 open connection.').waitFor();
  await shoot(page, 'delete');
  await call('PATCH', '/v1/forwards/web', { idle_timeout_seconds: 100 });
  await dialog.getByRole('button', { name: 'Delete web' }).click();
  await dialog.getByText('it was changed meanwhile').waitFor();
  await dialog.getByRole('button', { name: 'Delete web' }).click();
  await row(page, 'web').waitFor({ state: 'detached' });
  await page.waitForFunction(() => document.activeElement.id === 'search');

  await tunnel(page, 'home').getByRole('button', { name: 'Delete home' }).click();
  await page.getByRole('dialog').getByText('This deletes 3 forwards too: database, metrics, spare.').waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete home' }).click();
  await page.getByText('Nothing is defined yet').waitFor();
  assert.deepEqual((await call('GET', '/v1/forwards')).items, []);
});
