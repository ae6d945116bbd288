// The numbers of all, each of which is a filter or an order of the forwards below.
import { el, setAttribute, setText } from './dom.js';
import { formatBytes, formatCount, formatRate } from './format.js';
import { createSparkline } from './sparkline.js';

const root = document.getElementById('counts');

/** What each tile shows of a model, and the view of the forwards that it asks for. */
const TILES = [
  {
    id: 'tunnels',
    label: 'Tunnels ready',
    value: ({ status }) => `${formatCount(status.tunnels.ready)} / ${formatCount(status.tunnels.total)}`,
    view: { target: 'tunnels' },
  },
  {
    id: 'forwards',
    label: 'Forwards ready',
    value: ({ status }) => `${formatCount(status.forwards.ready)} / ${formatCount(status.forwards.total)}`,
    view: { state: 'problem' },
  },
  {
    id: 'connections',
    label: 'Connections open',
    value: ({ status }) => formatCount(status.connections_active),
    note: ({ status }) => `${formatCount(status.connections_total)} in all`,
    view: { state: 'active' },
  },
  {
    id: 'in',
    label: 'In',
    value: ({ totals }) => formatRate(totals.in.rate),
    note: ({ status }) => `${formatBytes(status.bytes_in_total)} in all`,
    meter: ({ totals }) => totals.in,
    view: { sort: 'in' },
  },
  {
    id: 'out',
    label: 'Out',
    value: ({ totals }) => formatRate(totals.out.rate),
    note: ({ status }) => `${formatBytes(status.bytes_out_total)} in all`,
    meter: ({ totals }) => totals.out,
    view: { sort: 'out' },
  },
];

const HINTS = {
  tunnels: 'show only tunnels with problems',
  forwards: 'show only forwards with problems',
  connections: 'show only forwards with open connections',
  in: 'sort the forwards by bytes in',
  out: 'sort the forwards by bytes out',
};

let tiles;

function createTile(tile, onSelect) {
  const value = el('span', { class: 'value' });
  const note = el('span', { class: 'sub' });
  const sparkline = tile.meter ? createSparkline([tile.label.toLowerCase()]) : null;
  const button = el(
    'button',
    { type: 'button', class: 'tile', id: `count-${tile.id}`, 'aria-pressed': 'false', title: HINTS[tile.id] },
    el('span', { class: 'label' }, tile.label),
    value,
    note,
  );
  button.addEventListener('click', () => onSelect(tile.view));
  const element = el('li', {}, button, sparkline?.element);
  function update(model, isSelected) {
    setText(value, tile.value(model));
    setText(note, tile.note ? tile.note(model) : '');
    setAttribute(button, 'aria-pressed', isSelected(tile.view));
    sparkline?.update([tile.meter(model)]);
  }
  return { element, update };
}

/** onSelect(view): show the forwards so; isSelected(view): whether they are. */
export function updateCounts(model, onSelect, isSelected) {
  if (!tiles) {
    tiles = TILES.map((tile) => createTile(tile, onSelect));
    root.append(...tiles.map(({ element }) => element));
  }
  for (const tile of tiles) tile.update(model, isSelected);
}
