import assert from 'node:assert/strict';
import { test } from 'node:test';

import { adviceFor, sessionOf, stateOf } from '../../../web/health.js';
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

test('every reason has advice, one that is new as well', () => {
  assert.match(adviceFor('AddressInUse'), /port/);
  assert.match(adviceFor('SomethingNew'), /log/);
});

test('sessions', () => {
  const now = Date.parse('2024-05-01T12:00:00.000Z');
  const at = (seconds) => new Date(now - seconds * 1000).toISOString();
  assert.equal(sessionOf(undefined, 25, now), 'never');
  assert.equal(sessionOf(at(180), 25, now), 'fresh');
  assert.equal(sessionOf(at(181), 0, now), 'idle');
  assert.equal(sessionOf(at(181), 25, now), 'late');
});
