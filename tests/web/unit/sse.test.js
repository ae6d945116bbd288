import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SseParser } from '../../../web/sse.js';

const STREAM =
  'retry: 1000\nevent: snapshot\nid: 41\ndata: {"last_event_id":41}\n\n' +
  ': heartbeat\nid: 42\n\n' +
  'data: first\r\ndata:  second\r\nunknown: x\r\ndata\r\n\r\n' +
  'id: 43\rdata: ü\r\r' +
  'event: ignored\n\ndata: last\n\ndata: unfinished\n';

const MESSAGES = [
  { event: 'snapshot', data: '{"last_event_id":41}', id: '41' },
  { event: 'message', data: 'first\n second\n', id: '42' },
  { event: 'message', data: 'ü', id: '43' },
  { event: 'message', data: 'last', id: '43' },
];

test('messages are the same in pieces of every size', () => {
  for (let size = 1; size <= STREAM.length; size += 1) {
    const parser = new SseParser();
    const messages = [];
    for (let at = 0; at < STREAM.length; at += size) messages.push(...parser.push(STREAM.slice(at, at + size)));
    assert.deepEqual(messages, MESSAGES, `size ${size}`);
  }
});

test('an id without data is where to go on from', () => {
  const parser = new SseParser();
  assert.deepEqual(parser.push(': heartbeat\nid: 7\n\n'), []);
  assert.equal(parser.lastId, '7');
  parser.push('id: 8\0\n\n');
  assert.equal(parser.lastId, '7');
});
