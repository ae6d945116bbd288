// Which forwards are shown, and in which order.
import { formatAddress } from './format.js';
import { stateOf } from './health.js';

function searched(forward) {
  const { status } = forward;
  return [
    forward.name,
    forward.tunnel,
    forward.direction,
    status.bound ? formatAddress(status.bound) : formatAddress(forward.listen),
    formatAddress({ address: forward.target.host, port: forward.target.port }),
    stateOf(forward).reason,
    status.last_error?.message ?? '',
  ]
    .join(' ')
    .toLowerCase();
}

// A forward's text is made once per version of the object, not once per keystroke.
const texts = new WeakMap();

function textOf(forward) {
  let text = texts.get(forward);
  if (text === undefined) {
    text = searched(forward);
    texts.set(forward, text);
  }
  return text;
}

/** state: 'all', 'active' (it has connections), or a level, where a concern counts as a problem. */
function isInState(forward, state) {
  if (state === 'all') return true;
  if (state === 'active') return forward.status.connections_active > 0;
  const { level, concern } = stateOf(forward);
  return level === state || (state === 'problem' && concern !== undefined);
}

/** A predicate: every word of text occurs, and state and tunnel ('' = any) are as asked for. */
export function makeFilter({ text, state, tunnel }) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return (forward) =>
    isInState(forward, state) &&
    (tunnel === '' || forward.tunnel === tunnel) &&
    words.every((word) => textOf(forward).includes(word));
}

const LEVELS = { problem: 0, ready: 1, disabled: 2 };

/** What a column sorts by. */
const KEYS = {
  state: (forward) => LEVELS[stateOf(forward).level],
  name: (forward) => forward.name,
  bound: (forward) => forward.status.bound?.port ?? 0,
  target: (forward) => formatAddress({ address: forward.target.host, port: forward.target.port }),
  tunnel: (forward) => forward.tunnel,
  connections: (forward) => forward.status.connections_active,
  in: (forward) => forward.status.bytes_in_total,
  out: (forward) => forward.status.bytes_out_total,
  error: (forward) => Date.parse(forward.status.last_error?.at ?? 0),
  source: (forward) => forward.source,
};

/** Columns whose largest value is of most interest. */
const LARGEST_FIRST = new Set(['connections', 'in', 'out', 'error']);

/** The direction that a column starts with. */
export function firstDirection(column) {
  return LARGEST_FIRST.has(column) ? 'descending' : 'ascending';
}

/** Sorts a copy of forwards, which are in the order of names; equal ones stay in it. */
export function sortForwards(forwards, { column, direction }) {
  if (column === 'name') return direction === 'ascending' ? forwards : forwards.toReversed();
  const key = KEYS[column];
  const sign = direction === 'ascending' ? 1 : -1;
  return forwards
    .map((forward) => ({ forward, key: key(forward) }))
    .sort((a, b) => (a.key < b.key ? -sign : a.key > b.key ? sign : 0))
    .map(({ forward }) => forward);
}
