import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

import { firstTunnelCommand, forwardCommand, shellQuote, tunnelCommand } from '../../../web/curl.js';
import { redact } from '../../../web/dump.js';
import { assignErrors, buildDocument } from '../../../web/fields.js';
import { hideSecrets } from '../../../web/wgquick.js';
import { makeForward } from './objects.js';

const where = { base: 'http://127.0.0.1:8585', auth: 'token' };

/** What a shell makes of the arguments of a curl command. */
function shellArguments(command) {
  const script = command.replace(/^curl/, 'printf "%s\\0"');
  return execFileSync('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] }).toString().split('\0').slice(0, -1);
}

test('a shell reads quoted text as it is', () => {
  for (const text of ["it's", '$(id) `id` "x" \\', "'; rm -rf /; '", 'a\nb']) {
    assert.equal(execFileSync('sh', ['-c', `printf %s ${shellQuote(text)}`]).toString(), text);
  }
});

test('a forward as curl has what a client writes, and no token', () => {
  const parts = shellArguments(forwardCommand(where, makeForward('web')));
  assert.deepEqual(parts.slice(0, 3), ['-X', 'PUT', 'http://127.0.0.1:8585/v1/forwards/web']);
  const body = JSON.parse(parts.at(-1));
  assert.equal(body.status, undefined);
  assert.equal(body.generation, undefined);
  assert.deepEqual(body.target, { host: '192.168.4.2', port: 80 });
  assert.match(forwardCommand(where, makeForward('web')), /Bearer \$\(cat data\/admin\.token\)/);
  assert.doesNotMatch(forwardCommand({ ...where, auth: 'none' }, makeForward('web')), /Authorization/);
});

test('a tunnel as curl has no field that cannot be written', () => {
  const peer = { name: 'gw', public_key: 'k', has_preshared_key: true, allowed_ips: [], keepalive_seconds: 0 };
  const tunnel = { name: 'home', addresses: ['10.9.0.2/32'], mtu: 1420, listen_port: 0, peers: [peer], public_key: 'p' };
  const body = JSON.parse(shellArguments(tunnelCommand(where, tunnel)).at(-1));
  assert.deepEqual(Object.keys(body), ['addresses', 'mtu', 'listen_port', 'peers']);
  assert.equal(body.peers[0].has_preshared_key, undefined);
});

test('the first command is a whole document', () => {
  assert.equal(JSON.parse(shellArguments(firstTunnelCommand(where)).at(-1)).name, 'home');
});

test('fields become a document; empty ones are left out', () => {
  const fields = [
    { pointer: '/name', type: 'text', value: ' web ' },
    { pointer: '/listen/port', type: 'number', value: '80' },
    { pointer: '/target/port', type: 'number', value: '80a' },
    { pointer: '/mtu', type: 'number', value: ' ' },
    { pointer: '/peers/0/allowed_ips', type: 'list', value: '10.0.0.0/8, ::/0\nfd00::1' },
  ];
  assert.deepEqual(buildDocument(fields), {
    name: 'web',
    listen: { port: 80 },
    target: { port: '80a' },
    peers: [{ allowed_ips: ['10.0.0.0/8', '::/0', 'fd00::1'] }],
  });
});

test('an error is shown at the nearest field', () => {
  const errors = [
    { pointer: '/peers/0/allowed_ips/3', detail: 'a' },
    { pointer: '/peers/10', detail: 'b' },
    { pointer: '/peers/0/allowed_ips/4', detail: 'c' },
  ];
  const { placed, rest } = assignErrors(errors, ['/peers/1', '/peers/0', '/peers/0/allowed_ips']);
  assert.deepEqual([...placed], [['/peers/0/allowed_ips', ['a', 'c']]]);
  assert.deepEqual(rest, [errors[1]]);
});

test('keys of a wg-quick file are hidden, whatever the spelling', () => {
  assert.equal(hideSecrets('PrivateKey = AAAA='), 'PrivateKey = (hidden)');
  assert.equal(hideSecrets('  presharedkey=BBBB= # x'), '  presharedkey=(hidden)');
  assert.equal(hideSecrets('PublicKey = CCCC='), 'PublicKey = CCCC=');
});

test('a dump has no whole key and no endpoint', () => {
  const dump = redact({ tunnels: [{ public_key: 'abcdefghijkl', peers: [{ endpoint: 'vpn.example.org:51820' }] }], n: null });
  assert.deepEqual(dump, { tunnels: [{ public_key: 'abcdef…', peers: [{ endpoint: '(host):51820' }] }], n: null });
});
