// Uses the types that are generated for TypeScript: creates, lists, watches, changes and deletes.
//
// node client.js URL TOKEN
import createClient from 'openapi-fetch';
import type { components, paths } from './schema.js';

type Event = components['schemas']['Event'];

const KEYS = [
  'AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=',
  'AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=',
];

function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

declare const process: { argv: string[] }; // all that is used of node's own types
const [, , baseUrl, token] = process.argv;
const headers = { Authorization: `Bearer ${token}` };
const api = createClient<paths>({ baseUrl, headers });

async function names(): Promise<string[]> {
  const found: string[] = [];
  let cursor: string | undefined;
  do {
    const { data } = await api.GET('/v1/forwards', { params: { query: { limit: 1, cursor } } });
    assert(data, 'the list is there');
    found.push(...data.items.map((item) => item.name));
    cursor = data.next_cursor;
  } while (cursor);
  return found;
}

// Follows the stream of events, and ends with the first that is wanted.
async function* watch(since: number): AsyncGenerator<Event> {
  const { data } = await api.GET('/v1/events', {
    params: { query: { since } },
    headers: { Accept: 'text/event-stream' },
    parseAs: 'stream',
  });
  assert(data, 'the stream is there');
  let text = '';
  for await (const part of data.pipeThrough(new TextDecoderStream()) as unknown as AsyncIterable<string>) {
    text += part;
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const line = block.split('\n').find((candidate) => candidate.startsWith('data:'));
      if (line && !block.includes('event:')) yield JSON.parse(line.slice('data:'.length)) as Event;
    }
  }
}

const status = await api.GET('/v1/status');
assert(status.data?.last_event_id !== undefined, 'the status tells of the events');
const since = status.data.last_event_id;

const tunnel = await api.POST('/v1/tunnels', {
  body: { name: 'home', addresses: ['10.9.0.2/32'], private_key: KEYS[0] },
});
assert(tunnel.data?.status.bound?.port, 'the tunnel is bound');
const peer = await api.PUT('/v1/tunnels/{name}/peers/{peer}', {
  params: { path: { name: 'home', peer: 'gw' } },
  body: { public_key: KEYS[1], allowed_ips: ['192.168.4.0/24'] },
});
assert(peer.data?.name === 'gw', 'the peer was made');
for (const name of ['mail', 'web']) {
  const forward = await api.POST('/v1/forwards', {
    body: { name, tunnel: 'home', target: { host: '192.168.4.2', port: 80 } },
  });
  assert(forward.data?.status.bound?.port, 'the forward listens');
}
assert((await names()).join() === 'mail,web', 'both are listed');

const refused = await api.POST('/v1/forwards', {
  body: { name: 'web', tunnel: 'home', target: { host: '192.168.4.2', port: 80 } },
});
assert(refused.error?.errors?.[0]?.code === 'name_taken', 'a name is taken once');
const changed = await api.PATCH('/v1/forwards/{name}', {
  params: { path: { name: 'web' } },
  body: { target: { port: 81 } },
});
assert(changed.data?.target.port === 81, 'the target was changed');

const path = { name: 'web' };
assert((await api.DELETE('/v1/forwards/{name}', { params: { path } })).response.status === 204, '204');
assert((await api.GET('/v1/forwards/{name}', { params: { path } })).response.status === 404, '404');
await api.DELETE('/v1/tunnels/{name}', {
  params: { path: { name: 'home' }, query: { cascade: true } },
});
assert((await names()).length === 0, 'none is left');

const seen: string[] = [];
for await (const event of watch(since)) {
  seen.push(`${event.type} ${event.name}`);
  if (event.type === 'tunnel.deleted') break;
}
for (const wanted of ['forward.created mail', 'forward.created web', 'forward.deleted web'])
  assert(seen.includes(wanted), `${wanted} is among ${seen.join()}`);
