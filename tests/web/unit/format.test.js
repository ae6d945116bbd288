import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as format from '../../../web/format.js';

test('bytes have three digits at most', () => {
  const rows = [
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [1049, '1.0 kB'],
    [99_949, '99.9 kB'],
    [99_950, '100 kB'],
    [999_499, '999 kB'],
    [999_500, '1.0 MB'],
    [2 ** 53, '9.0 PB'],
    [1e18, '1000 PB'],
  ];
  for (const [bytes, text] of rows) assert.equal(format.formatBytes(bytes), text, String(bytes));
});

test('a rate is never negative', () => {
  assert.equal(format.formatRate(-5), '0 B/s');
  assert.equal(format.formatRate(1500), '1.5 kB/s');
});

test('durations name the two largest units', () => {
  const rows = [
    [-3, '0 s'],
    [0.9, '0 s'],
    [59.9, '59 s'],
    [60, '1 min'],
    [179, '2 min'],
    [3600, '1 h'],
    [3660, '1 h 1 min'],
    [86_400 * 4 + 3600 * 3 + 59, '4 d 3 h'],
    [86_400 * 4 + 59, '4 d'],
  ];
  for (const [seconds, text] of rows) assert.equal(format.formatDuration(seconds), text, String(seconds));
});

test('ages, with a clock that runs behind', () => {
  const now = Date.parse('2024-05-01T12:00:00.000Z');
  assert.equal(format.formatAge('2024-05-01T11:59:18.000Z', now), '42 s ago');
  assert.equal(format.formatAge('2024-05-01T12:00:05.000Z', now), 'just now');
});

test('addresses', () => {
  assert.equal(format.formatAddress({ address: '127.0.0.1', port: 80 }), '127.0.0.1:80');
  assert.equal(format.formatAddress({ address: '::1', port: 80 }), '[::1]:80');
  assert.equal(format.formatAddress({ port: 80 }), 'port 80');
});

test('nouns', () => {
  assert.equal(format.plural(1, 'forward'), '1 forward');
  assert.equal(format.plural(5000, 'forward'), '5,000 forwards');
});
