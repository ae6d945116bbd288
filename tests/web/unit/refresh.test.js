import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';

import { Model } from '../../../web/model.js';
import { Refresh } from '../../../web/refresh.js';
import { makeForward } from './objects.js';

const STATUS = { tunnels: { total: 0 }, forwards: { total: 0 }, bytes_in_total: 0, bytes_out_total: 0, last_event_id: 7 };

let service;
let model;
let refresh;
let told;
let shown;

async function settle() {
  for (let i = 0; i < 20; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** A service with these forwards, which notes what it is asked for. */
function makeService(names) {
  const forwards = new Map(names.map((name) => [name, makeForward(name)]));
  const asked = [];
  function page(query) {
    const limit = Number(query.get('limit'));
    const rest = [...forwards.values()].filter(({ name }) => name > (query.get('cursor') ?? ''));
    const items = rest.slice(0, limit);
    return rest.length > limit ? { items, next_cursor: items.at(-1).name } : { items };
  }
  return {
    forwards,
    asked,
    fails: false,
    async get(path) {
      asked.push(path);
      if (this.fails) throw Object.assign(new Error('no answer'), { status: 0 });
      const { pathname, searchParams } = new URL(path, 'http://x');
      if (pathname === '/v1/info') return {};
      if (pathname === '/v1/status') return STATUS;
      if (pathname === '/v1/tunnels') return { items: [] };
      if (pathname === '/v1/forwards') return page(searchParams);
      const forward = forwards.get(pathname.replace('/v1/forwards/', ''));
      if (!forward) throw Object.assign(new Error('gone'), { status: 404 });
      return forward;
    },
  };
}

function begin(names) {
  service = makeService(names);
  model = new Model();
  told = [];
  shown = [];
  refresh = new Refresh(service, model, {
    updated: () => told.push('updated'),
    failed: () => told.push('failed'),
    shown: () => shown,
  });
  return refresh.start();
}

async function pass(milliseconds) {
  service.asked.length = 0;
  mock.timers.tick(milliseconds);
  await settle();
  return service.asked.filter((path) => path.startsWith('/v1/forwards'));
}

const numbered = (count) => Array.from({ length: count }, (_, i) => `f${String(i).padStart(4, '0')}`);

beforeEach(() => {
  globalThis.document = { hidden: false };
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
});

afterEach(() => {
  refresh.stop();
  mock.timers.reset();
});

test('a small list is read each round', async () => {
  await begin(['a', 'b']);
  assert.equal(model.forwards.size, 2);
  service.forwards.delete('a');
  service.forwards.set('c', makeForward('c'));
  assert.deepEqual(await pass(2000), ['/v1/forwards?limit=250']);
  assert.deepEqual(model.forwards.all.map(({ name }) => name), ['b', 'c']);
});

test('the first page is told before the others are read', async () => {
  await begin(numbered(1500));
  assert.deepEqual(told, ['updated', 'updated']);
  assert.equal(model.forwards.size, 1500);
  assert.deepEqual(service.asked.slice(3), [
    '/v1/forwards?limit=100',
    '/v1/forwards?limit=1000&cursor=f0099',
    '/v1/forwards?limit=1000&cursor=f1099',
  ]);
});

test('a round goes on in a long list, and reads what is shown', async () => {
  await begin(numbered(600));
  shown = numbered(150).slice(100);
  assert.deepEqual(await pass(2000), ['/v1/forwards?limit=50&cursor=f0099', '/v1/forwards?limit=250']);
  shown = ['f0500', 'f0007'];
  assert.deepEqual(await pass(2000), ['/v1/forwards/f0500', '/v1/forwards/f0007', '/v1/forwards?limit=250&cursor=f0249']);
});

test('changes are gathered and asked for', async () => {
  await begin(['a', 'b']);
  service.forwards.delete('b');
  refresh.changed('forward', 'a');
  refresh.changed('forward', 'b');
  refresh.changed('forward', 'a');
  assert.deepEqual(await pass(149), []);
  assert.deepEqual((await pass(1)).slice(0, 2), ['/v1/forwards/a', '/v1/forwards/b']);
  assert.equal(model.forwards.size, 1);
});

test('after a failure it asks less often, and then for everything', async () => {
  await begin(['a']);
  service.fails = true;
  await pass(2000);
  assert.deepEqual(await pass(3999), []);
  await pass(1);
  assert.deepEqual(told.slice(2), ['failed', 'failed']);
  service.fails = false;
  assert.ok((await pass(8000)).includes('/v1/forwards?limit=1000'));
  assert.equal(told.at(-1), 'updated');
});

test('a page that nobody sees asks nothing', async () => {
  await begin(['a']);
  document.hidden = true;
  await pass(2000);
  assert.deepEqual(await pass(60_000), []);
  document.hidden = false;
  refresh.now();
  assert.deepEqual(await pass(0), ['/v1/forwards?limit=250']);
});
