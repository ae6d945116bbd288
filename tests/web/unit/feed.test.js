import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';

import { Feed } from '../../../web/feed.js';

const STREAM = { 'Content-Type': 'text/event-stream' };

let told;
let feed;

/** Lets everything that is ready happen. */
async function settle() {
  for (let i = 0; i < 50; i += 1) await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
}

function event(id) {
  return { id, time: '2024-05-01T12:00:00.000Z', type: 'forward.changed', kind: 'forward', name: `f${id}`, actor: 'system' };
}

/** A stream of text pieces that stays open, and a way to send more. */
function openStream(...pieces) {
  let controller;
  const body = new ReadableStream({
    start(given) {
      controller = given;
    },
  });
  const send = (text) => controller.enqueue(new TextEncoder().encode(text));
  pieces.forEach(send);
  return { response: new Response(body, { headers: STREAM }), send, close: () => controller.close() };
}

/** An API whose pages and streams are answered by these functions of the path. */
function fakeApi({ page = () => ({ items: [], next_since: 0 }), stream = () => Promise.reject(new Error('none')) }) {
  return {
    get: async (path) => page(path),
    send: async (method, path) => stream(path),
  };
}

function makeFeed(api) {
  told = [];
  feed = new Feed(api, {
    happened: (events) => told.push(...events.map(({ id }) => id)),
    missed: () => told.push('missed'),
    changed: () => told.push(feed.streaming ? 'streaming' : 'not streaming'),
  });
  return feed;
}

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
});

test('the history is shown and not told; then the stream', async () => {
  const { response, send } = openStream('event: snapshot\nid: 3\ndata: {"last_event_id":3}\n\n');
  const paths = [];
  const api = fakeApi({
    page: () => ({ items: [event(1), event(2), event(3), event(4)], next_since: 4 }),
    stream: (path) => {
      paths.push(path);
      return response;
    },
  });
  await makeFeed(api).start(3);
  await settle();
  send(`id: 4\ndata: ${JSON.stringify(event(4))}\n\n`);
  await settle();
  assert.deepEqual(feed.events.map(({ id }) => id), [4, 3, 2, 1]);
  assert.deepEqual(told, ['streaming', 4]);
  assert.deepEqual(paths, ['/v1/events?since=3']);
  feed.stop();
});

test('a gap is told', async () => {
  const { response } = openStream('event: gap\nid: 9\ndata: {"from":4,"to":9}\n\n', `id: 10\ndata: ${JSON.stringify(event(10))}\n\n`);
  await makeFeed(fakeApi({ stream: () => response })).start(3);
  await settle();
  assert.deepEqual(told, ['streaming', 'missed', 10]);
  feed.stop();
});

test('after a stream has ended pages are asked for, and then a stream from there', async () => {
  const first = openStream('id: 4\n\n');
  const second = openStream();
  const streams = [first, second];
  const paths = [];
  const api = fakeApi({
    page: (path) => ({ items: path.includes('since=4') ? [event(5)] : [], next_since: 5 }),
    stream: (path) => {
      paths.push(path);
      return streams.shift().response;
    },
  });
  await makeFeed(api).start(3);
  await settle();
  first.close();
  await settle();
  mock.timers.tick(2000);
  await settle();
  assert.deepEqual(told, ['streaming', 'not streaming', 5, 'streaming']);
  assert.deepEqual(paths, ['/v1/events?since=3', '/v1/events?since=5']);
  feed.stop();
});

test('an id that is no longer kept makes everything be read anew', async () => {
  const expired = Object.assign(new Error('expired'), { status: 410 });
  const { response } = openStream();
  const paths = [];
  const api = fakeApi({
    page: (path) => (path === '/v1/status' ? { last_event_id: 77 } : { items: [] }),
    stream: (path) => {
      paths.push(path);
      if (paths.length === 1) throw expired;
      return response;
    },
  });
  await makeFeed(api).start(3);
  await settle();
  mock.timers.tick(2000);
  await settle();
  assert.deepEqual(told, ['missed', 'streaming']);
  assert.deepEqual(paths, ['/v1/events?since=3', '/v1/events?since=77']);
  feed.stop();
});

test('a silent stream is given up', async () => {
  const { response } = openStream();
  let aborted = false;
  const api = fakeApi({});
  api.send = async (method, path, { signal }) => {
    signal.addEventListener('abort', () => {
      aborted = true;
    });
    return response;
  };
  await makeFeed(api).start(0);
  await settle();
  mock.timers.tick(39_999);
  assert.equal(aborted, false);
  mock.timers.tick(1);
  assert.equal(aborted, true);
  feed.stop();
});
