import assert from 'node:assert/strict';
import { test } from 'node:test';

import { adviceFor, endpointOf, lookupOf, sessionOf, stateOf } from '../../../web/health.js';
import { condition, makeForward } from './objects.js';

test('the condition Ready decides, whatever else there is', () => {
  const conditions = [{ ...condition('False', 'Slow'), type: 'Other' }, condition('True', 'Listening')];
  assert.equal(stateOf(makeForward('a', { status: { conditions } })).level, 'ready');
});

test('what is not enabled is no problem', () => {
  const conditions = [condition('False', 'Disabled')];
  assert.equal(stateOf(makeForward('a', { enabled: false, status: { conditions } })).level, 'disabled');
  assert.equal(stateOf(makeForward('a', { status: { conditions } })).level, 'problem');
});

test('another condition that is false is a concern, not a problem', () => {
  const target = { ...condition('False', 'ConnectionRefused'), type: 'TargetReachable' };
  const unknown = { ...condition('Unknown', 'NotTried'), type: 'TargetReachable' };
  const ready = condition('True', 'Listening');
  assert.equal(stateOf(makeForward('a', { status: { conditions: [ready, target] } })).concern, target);
  assert.equal(stateOf(makeForward('a', { status: { conditions: [ready, unknown] } })).concern, undefined);
});

test('without the condition nothing is claimed', () => {
  assert.equal(stateOf(makeForward('a', { status: { conditions: [] } })).level, 'problem');
});

test('there is advice where the message has none', () => {
  assert.match(adviceFor('AddressInUse', 'it is taken'), /port/);
  assert.equal(adviceFor('NoAnswer', 'check the endpoint'), '');
  assert.match(adviceFor('SomethingNew', ''), /log/);
});

test('only handshakes that are not answered are bad', () => {
  assert.deepEqual(sessionOf(undefined), { word: '', isBad: false });
  assert.deepEqual(sessionOf({ status: 'True', reason: 'Fresh' }), { word: '', isBad: false });
  assert.deepEqual(sessionOf({ status: 'Unknown', reason: 'Idle' }), { word: 'idle', isBad: false });
  assert.deepEqual(sessionOf({ status: 'False', reason: 'NoAnswer' }), { word: 'no answer', isBad: true });
});

test('an endpoint that is a name is shown with the address in use', () => {
  const named = { endpoint: 'gw.example.org:51820' };
  const resolved = { status: 'True', reason: 'Resolved', message: '', addresses: ['192.0.2.1:51820'] };
  const used = { endpoint: '192.0.2.1:51820', endpoint_resolved: resolved };
  assert.equal(endpointOf(named, used), 'gw.example.org:51820 (192.0.2.1:51820)');
  assert.equal(endpointOf(named, { endpoint: named.endpoint }), named.endpoint);
  assert.equal(endpointOf({ endpoint: '192.0.2.1:51820' }, { endpoint: '192.0.2.9:1' }), '192.0.2.9:1');
  assert.equal(endpointOf({}, {}), 'calls us');
});

test('what is wrong with a lookup is told, and nothing else', () => {
  assert.equal(lookupOf(undefined), '');
  assert.equal(lookupOf({ status: 'True', reason: 'Resolved', message: '' }), '');
  assert.equal(lookupOf({ status: 'Unknown', reason: 'Resolving', message: 'it is being looked up' }), '');
  assert.equal(lookupOf({ status: 'False', reason: 'NameNotFound', message: 'no such name' }), 'no such name');
  assert.equal(lookupOf({ status: 'True', reason: 'AddressKept', message: 'its last are kept' }), 'its last are kept');
});
