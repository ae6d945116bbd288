// The table of forwards: searched, filtered, sorted, and shown a page at a time, so that its cost
// does not grow with their number.
import { changeIcon, el, iconButton, labelButton, lockButton, reconcile, setAttribute, setHidden, setText } from './dom.js';
import { firstDirection, makeFilter, sortForwards } from './filter.js';
import { formatAddress, formatAge, formatBytes, formatCount, formatRate } from './format.js';
import { stateOf } from './health.js';
import { createState } from './state.js';

const PAGE_ROWS = 50;

const COLUMNS = [
  ['state', 'State'],
  ['name', 'Name'],
  ['bound', 'Listens on'],
  ['target', 'Target'],
  ['tunnel', 'Tunnel'],
  ['connections', 'Connections'],
  ['in', 'In'],
  ['out', 'Out'],
  ['error', 'Last error'],
  ['source', 'Source'],
];
const NUMERIC = new Set(['connections', 'in', 'out']);

const byId = (id) => document.getElementById(id);

/** A cell that says its column where the table is shown as cards. */
function cell(column, label, ...children) {
  const element = el('td', { role: 'cell', 'data-label': label, class: `column-${column}` }, ...children);
  if (NUMERIC.has(column)) element.classList.add('number');
  return element;
}

function createCells() {
  const cells = {
    state: createState(),
    name: el('span', { class: 'name' }),
    kind: el('span', { class: 'sub' }),
    bound: el('span', { class: 'mono' }),
    target: el('span', { class: 'mono' }),
    tunnel: el('span'),
    connections: el('span'),
    connectionsTotal: el('span', { class: 'sub' }),
    in: el('span'),
    inRate: el('span', { class: 'sub' }),
    out: el('span'),
    outRate: el('span', { class: 'sub' }),
    error: el('span'),
    errorAge: el('span', { class: 'sub' }),
    source: el('span'),
  };
  return cells;
}

function createRow(actions) {
  const cells = createCells();
  let forward;
  const copy = iconButton('copy', '', () => actions.copyAddress(forward));
  const toggle = iconButton('pause', '', () => actions.toggle(forward));
  const curl = iconButton('curl', '', () => actions.copyCurl(forward));
  const remove = iconButton('delete', '', () => actions.remove(forward));
  toggle.classList.add('admin');
  remove.classList.add('admin');
  const element = el(
    'tr',
    { role: 'row' },
    cell('state', 'State', cells.state.element),
    el('th', { role: 'rowheader', scope: 'row', class: 'column-name' }, cells.name, cells.kind),
    cell('bound', 'Listens on', cells.bound, copy),
    cell('target', 'Target', cells.target),
    cell('tunnel', 'Tunnel', cells.tunnel),
    cell('connections', 'Connections', cells.connections, cells.connectionsTotal),
    cell('in', 'In', cells.in, cells.inRate),
    cell('out', 'Out', cells.out, cells.outRate),
    cell('error', 'Last error', cells.error, cells.errorAge),
    cell('source', 'Source', cells.source),
    cell('actions', '', el('div', { class: 'actions' }, toggle, curl, remove)),
  );
  function update(item) {
    ({ forward } = item);
    updateCells(cells, item);
    setHidden(copy, forward.status.bound === undefined);
    labelButton(copy, `Copy the address of ${forward.name}`);
    changeIcon(toggle, forward.enabled ? 'pause' : 'play');
    labelButton(toggle, `${forward.enabled ? 'Disable' : 'Enable'} ${forward.name}`);
    labelButton(curl, `Copy ${forward.name} as curl`);
    labelButton(remove, `Delete ${forward.name}`);
    lockButton(toggle, forward.source === 'file');
    lockButton(remove, forward.source === 'file');
    setAttribute(element, 'data-name', forward.name);
  }
  return { element, update };
}

function updateCells(cells, { forward, meters, now }) {
  const { status } = forward;
  cells.state.update(stateOf(forward));
  setText(cells.name, forward.name);
  setText(cells.kind, `${forward.direction} ${forward.protocol}`);
  setText(cells.bound, status.bound ? formatAddress(status.bound) : '–');
  setText(cells.target, formatAddress({ address: forward.target.host, port: forward.target.port }));
  setText(cells.tunnel, forward.tunnel);
  setText(cells.connections, formatCount(status.connections_active));
  setText(cells.connectionsTotal, `of ${formatCount(status.connections_total)}`);
  setText(cells.in, formatBytes(status.bytes_in_total));
  setText(cells.inRate, meters.in.rate > 0 ? formatRate(meters.in.rate) : '');
  setText(cells.out, formatBytes(status.bytes_out_total));
  setText(cells.outRate, meters.out.rate > 0 ? formatRate(meters.out.rate) : '');
  const error = status.last_error;
  setText(cells.error, error ? error.message : '');
  setText(cells.errorAge, error?.at ? formatAge(error.at, now) : '');
  setText(cells.source, forward.source);
}

export class ForwardsView {
  #query = { text: '', state: 'all', tunnel: '' };
  #order = { column: 'name', direction: 'ascending' };
  #page = 0;
  #model;
  #actions;
  #body = byId('forward-rows');
  #headers = new Map();

  /** actions: {copyAddress, toggle, copyCurl, remove}, each with the forward. */
  constructor(model, actions) {
    this.#model = model;
    this.#actions = actions;
    this.#makeHeaders();
    byId('search').addEventListener('input', (event) => this.#ask({ text: event.target.value }));
    byId('filter-state').addEventListener('change', (event) => this.#ask({ state: event.target.value }));
    byId('filter-tunnel').addEventListener('change', (event) => this.#ask({ tunnel: event.target.value }));
    byId('previous').addEventListener('click', () => this.#turn(-1));
    byId('next').addEventListener('click', () => this.#turn(1));
    byId('clear-filter').addEventListener('click', () => this.show({ text: '', state: 'all', tunnel: '' }));
  }

  #makeHeaders() {
    const row = byId('forward-columns');
    for (const [column, label] of COLUMNS) {
      const button = el('button', { type: 'button', on: { click: () => this.#sortBy(column) } }, label);
      const header = el('th', { role: 'columnheader', scope: 'col', class: `column-${column}` }, button);
      if (NUMERIC.has(column)) header.classList.add('number');
      this.#headers.set(column, header);
      row.append(header);
    }
    row.append(el('th', { role: 'columnheader', scope: 'col' }, el('span', { class: 'hidden-text' }, 'Actions')));
  }

  #ask(change) {
    Object.assign(this.#query, change);
    this.#page = 0;
    this.update(Date.now());
  }

  #turn(pages) {
    this.#page += pages;
    this.update(Date.now());
    byId('forwards').scrollIntoView({ block: 'start' });
  }

  #sortBy(column, direction) {
    const { column: present, direction: presentDirection } = this.#order;
    const other = presentDirection === 'ascending' ? 'descending' : 'ascending';
    this.#order = { column, direction: direction ?? (column === present ? other : firstDirection(column)) };
    this.#page = 0;
    this.update(Date.now());
  }

  /** Shows another view: {text, state, tunnel, sort}, any of them. */
  show({ sort, ...query }) {
    Object.assign(this.#query, query);
    byId('search').value = this.#query.text;
    byId('filter-state').value = this.#query.state;
    byId('filter-tunnel').value = this.#query.tunnel;
    this.#page = 0;
    if (sort) this.#sortBy(sort, 'descending');
    this.update(Date.now());
  }

  shows({ sort, state }) {
    return sort ? this.#order.column === sort : state !== undefined && this.#query.state === state;
  }

  /** Puts the order back to that of names, as a second click on a count does. */
  resetOrder() {
    this.#sortBy('name', 'ascending');
  }

  /** The names of the forwards that are on the screen. */
  get shown() {
    return [...this.#body.children].map((row) => row.dataset.name);
  }

  update(now) {
    const { forwards } = this.#model;
    this.#updateTunnels();
    const found = sortForwards(forwards.all.filter(makeFilter(this.#query)), this.#order);
    const pages = Math.max(1, Math.ceil(found.length / PAGE_ROWS));
    this.#page = Math.min(Math.max(this.#page, 0), pages - 1);
    const first = this.#page * PAGE_ROWS;
    const items = found
      .slice(first, first + PAGE_ROWS)
      .map((forward) => ({ forward, meters: forwards.meters(forward.name), now }));
    reconcile(this.#body, items, ({ forward }) => forward.name, () => createRow(this.#actions));
    this.#updateOrder();
    this.#updatePager(found.length, first, items.length, pages);
  }

  #updateOrder() {
    for (const [column, header] of this.#headers) {
      setAttribute(header, 'aria-sort', column === this.#order.column ? this.#order.direction : null);
    }
  }

  #updateTunnels() {
    const select = byId('filter-tunnel');
    const names = ['', ...this.#model.tunnels.all.map((tunnel) => tunnel.name)];
    reconcile(select, names, (name) => name, (name) => ({
      element: el('option', { value: name }, name === '' ? 'any tunnel' : name),
      update() {},
    }));
    if (!names.includes(this.#query.tunnel)) this.#query.tunnel = '';
  }

  #updatePager(found, first, shown, pages) {
    const { forwards, status } = this.#model;
    const total = forwards.size;
    const reading = status && total < status.forwards.total ? ', reading the others' : '';
    const isFiltered = found !== total;
    const which = shown === 0 ? 'none' : `${formatCount(first + 1)}–${formatCount(first + shown)}`;
    const of = isFiltered && shown > 0 ? `${formatCount(found)} found in ${formatCount(total)}` : formatCount(total);
    setText(byId('forward-count'), `${which} of ${of}${reading}`);
    setHidden(byId('clear-filter'), !isFiltered);
    setHidden(byId('no-forwards'), shown > 0 || total === 0);
    byId('previous').disabled = this.#page === 0;
    byId('next').disabled = this.#page >= pages - 1;
    setHidden(byId('pager'), pages === 1);
  }
}
