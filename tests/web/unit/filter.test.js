import assert from 'node:assert/strict';
import { test } from 'node:test';

import { firstDirection, makeFilter, sortForwards } from '../../../web/filter.js';
import { condition, makeForward } from './objects.js';

const forwards = [
  makeForward('api', { status: { connections_active: 3, bytes_in_total: 10 } }),
  makeForward('db', { tunnel: 'office', target: { host: '10.0.0.5', port: 5432 } }),
  makeForward('old', { enabled: false, status: { conditions: [condition('False', 'Disabled')], bound: undefined } }),
  makeForward('web', { status: { conditions: [condition('False', 'AddressInUse')], bytes_in_total: 99 } }),
];

function found(query) {
  return forwards.filter(makeFilter({ text: '', state: 'all', tunnel: '', ...query })).map(({ name }) => name);
}

test('a search finds every word, in whichever field', () => {
  assert.deepEqual(found({}), ['api', 'db', 'old', 'web']);
  assert.deepEqual(found({ text: '5432' }), ['db']);
  assert.deepEqual(found({ text: ' OFFICE  10.0 ' }), ['db']);
  assert.deepEqual(found({ text: 'addressinuse' }), ['web']);
  assert.deepEqual(found({ text: 'office 41873 nothing' }), []);
  assert.deepEqual(found({ text: '.*' }), []);
});

test('states and tunnels', () => {
  assert.deepEqual(found({ state: 'ready' }), ['api', 'db']);
  assert.deepEqual(found({ state: 'problem' }), ['web']);
  assert.deepEqual(found({ state: 'disabled' }), ['old']);
  const refused = { ...condition('False', 'ConnectionRefused'), type: 'TargetReachable' };
  const concerned = makeForward('x', { status: { conditions: [condition('True', 'Listening'), refused] } });
  assert.ok(makeFilter({ text: '', state: 'problem', tunnel: '' })(concerned));
  assert.deepEqual(found({ state: 'active' }), ['api']);
  assert.deepEqual(found({ tunnel: 'office' }), ['db']);
  assert.deepEqual(found({ tunnel: 'office', state: 'active' }), []);
});

test('orders; equal ones stay in the order of names', () => {
  const names = (column, direction) => sortForwards(forwards, { column, direction }).map(({ name }) => name);
  assert.deepEqual(names('name', 'descending'), ['web', 'old', 'db', 'api']);
  assert.deepEqual(names('state', 'ascending'), ['web', 'api', 'db', 'old']);
  assert.deepEqual(names('in', 'descending'), ['web', 'api', 'db', 'old']);
  assert.deepEqual(names('connections', 'ascending'), ['db', 'old', 'web', 'api']);
  assert.deepEqual(forwards.map(({ name }) => name), ['api', 'db', 'old', 'web']);
});

test('columns of amounts start with the largest', () => {
  assert.equal(firstDirection('connections'), 'descending');
  assert.equal(firstDirection('tunnel'), 'ascending');
});
