// The tunnels, each with its peers.
import { el, iconButton, labelButton, lockButton, reconcile, setAttribute, setHidden, setText } from './dom.js';
import { formatAddress, formatAge, formatBytes, formatCount, formatRate, plural, shortKey } from './format.js';
import { endpointOf, lookupOf, sessionOf, stateOf } from './health.js';
import { createSparkline } from './sparkline.js';
import { createState } from './state.js';

const PAGE_TUNNELS = 20;
/** Peers of a tunnel that are shown at first, and when all are asked for. */
const PEERS_SHOWN = 4;
const PEERS_MAX = 200;
const PREFIXES_SHOWN = 4;

const byId = (id) => document.getElementById(id);

/* --- Peers --- */

function fact(label) {
  const value = el('dd');
  return { element: el('div', {}, el('dt', {}, label), value), value };
}

function createPeer() {
  const name = el('span', { class: 'name' });
  const key = el('span', { class: 'mono sub' });
  const facts = {
    endpoint: fact('Endpoint'),
    lookup: fact('Lookup'),
    allowed: fact('Allowed IPs'),
    handshake: fact('Last handshake'),
    traffic: fact('Received / sent'),
  };
  const element = el(
    'li',
    { class: 'peer' },
    el('p', {}, name, ' ', key),
    el('dl', {}, Object.values(facts).map((each) => each.element)),
  );
  facts.endpoint.value.classList.add('mono');
  facts.allowed.value.classList.add('mono');
  facts.lookup.value.classList.add('error');
  function update({ peer, observed, now }) {
    setText(name, peer.name);
    setText(key, shortKey(peer.public_key));
    setAttribute(key, 'title', peer.public_key);
    setText(facts.endpoint.value, endpointOf(peer, observed));
    setAttribute(facts.endpoint.value, 'title', observed.endpoint_resolved?.addresses?.join(', ') ?? null);
    const problem = lookupOf(observed.endpoint_resolved);
    setText(facts.lookup.value, problem);
    setHidden(facts.lookup.element, problem === '');
    setText(facts.allowed.value, listPrefixes(peer.allowed_ips));
    setAttribute(facts.allowed.value, 'title', peer.allowed_ips.slice(0, 50).join(', '));
    const { word, isBad } = sessionOf(observed.handshake);
    setText(facts.handshake.value, describeHandshake(observed.last_handshake_at, word, now));
    setAttribute(facts.handshake.value, 'class', isBad ? 'error' : null);
    setHidden(facts.traffic.element, observed.rx_bytes_total === undefined);
    setText(
      facts.traffic.value,
      `${formatBytes(observed.rx_bytes_total ?? 0)} / ${formatBytes(observed.tx_bytes_total ?? 0)}`,
    );
  }
  return { element, update };
}

function listPrefixes(prefixes) {
  if (prefixes.length === 0) return 'none';
  const rest = prefixes.length - PREFIXES_SHOWN;
  const shown = prefixes.slice(0, PREFIXES_SHOWN).join(', ');
  return rest > 0 ? `${shown} and ${formatCount(rest)} more` : shown;
}

function describeHandshake(at, word, now) {
  const when = at === undefined ? 'never' : formatAge(at, now);
  return word === '' ? when : `${when}, ${word}`;
}

/* --- Tunnels --- */

function createTunnel(actions) {
  let tunnel;
  let expanded = false;
  let last;
  const state = createState();
  const name = el('h3');
  const facts = el('p', { class: 'sub' });
  const sparkline = createSparkline(['received', 'sent']);
  const traffic = el('span', { class: 'sub' });
  const peers = el('ul', { class: 'peers' });
  const more = el('button', { type: 'button', class: 'link' });
  const forwards = el('button', { type: 'button', class: 'link', on: { click: () => actions.showForwards(tunnel) } });
  const curl = iconButton('curl', '', () => actions.copyCurl(tunnel));
  const remove = iconButton('delete', '', () => actions.remove(tunnel));
  remove.classList.add('admin');
  const element = el(
    'li',
    { class: 'tunnel' },
    el('div', { class: 'tunnel-head' },
      state.element,
      el('div', { class: 'tunnel-name' }, name, facts),
      el('div', { class: 'tunnel-traffic' }, sparkline.element, traffic),
      forwards,
      el('div', { class: 'actions' }, curl, remove)),
    peers,
    more,
  );
  more.addEventListener('click', () => {
    expanded = !expanded;
    update(last);
  });

  function update(item) {
    last = item;
    ({ tunnel } = item);
    const { meters, now } = item;
    state.update(stateOf(tunnel));
    setText(name, tunnel.name);
    setText(facts, describeTunnel(tunnel));
    setText(forwards, plural(tunnel.status.forwards, 'forward'));
    sparkline.update([meters.in, meters.out]);
    setText(traffic, `${formatRate(meters.in.rate)} in, ${formatRate(meters.out.rate)} out`);
    labelButton(curl, `Copy ${tunnel.name} as curl`);
    labelButton(remove, `Delete ${tunnel.name}`);
    lockButton(remove, tunnel.source === 'file');
    setAttribute(element, 'data-name', tunnel.name);
    updatePeers(now);
  }

  function updatePeers(now) {
    const observed = new Map(tunnel.status.peers.map((peer) => [peer.name, peer]));
    const items = tunnel.peers
      .slice(0, expanded ? PEERS_MAX : PEERS_SHOWN)
      .map((peer) => ({ peer, observed: observed.get(peer.name) ?? {}, now }));
    reconcile(peers, items, ({ peer }) => peer.name, createPeer);
    setHidden(more, tunnel.peers.length <= PEERS_SHOWN);
    setText(more, expanded ? 'show fewer peers' : `show all ${formatCount(tunnel.peers.length)} peers`);
    setAttribute(more, 'aria-expanded', String(expanded));
  }
  return { element, update };
}

function describeTunnel(tunnel) {
  const { bound } = tunnel.status;
  const parts = [tunnel.addresses.join(', '), `MTU ${tunnel.mtu}`];
  if (bound) parts.push(bound.address ? `UDP ${formatAddress(bound)}` : `UDP port ${bound.port}`);
  if (tunnel.source !== 'api') parts.push(`from ${tunnel.source}`);
  return parts.join(' · ');
}

function isConcerning({ level, concern }) {
  return level === 'problem' || concern !== undefined;
}

export class TunnelsView {
  #model;
  #actions;
  #page = 0;
  #problemsOnly = false;

  /** actions: {showForwards, copyCurl, remove}, each with the tunnel. */
  constructor(model, actions) {
    this.#model = model;
    this.#actions = actions;
    byId('tunnels-previous').addEventListener('click', () => this.#turn(-1));
    byId('tunnels-next').addEventListener('click', () => this.#turn(1));
  }

  get problemsOnly() {
    return this.#problemsOnly;
  }

  set problemsOnly(value) {
    this.#problemsOnly = value;
    this.#page = 0;
    this.update(Date.now());
  }

  #turn(pages) {
    this.#page += pages;
    this.update(Date.now());
  }

  /** Turns to the page that the tunnel is on, and goes there. */
  reveal(name) {
    this.#problemsOnly = false;
    const place = this.#model.tunnels.all.findIndex((tunnel) => tunnel.name === name);
    this.#page = Math.max(0, Math.floor(place / PAGE_TUNNELS));
    this.update(Date.now());
    document.querySelector(`#tunnel-list > [data-name="${CSS.escape(name)}"]`)?.scrollIntoView({ block: 'center' });
  }

  update(now) {
    const { tunnels } = this.#model;
    const found = this.#problemsOnly
      ? tunnels.all.filter((tunnel) => isConcerning(stateOf(tunnel)))
      : tunnels.all;
    const pages = Math.max(1, Math.ceil(found.length / PAGE_TUNNELS));
    this.#page = Math.min(Math.max(this.#page, 0), pages - 1);
    const first = this.#page * PAGE_TUNNELS;
    const items = found
      .slice(first, first + PAGE_TUNNELS)
      .map((tunnel) => ({ tunnel, meters: tunnels.meters(tunnel.name), now }));
    reconcile(byId('tunnel-list'), items, ({ tunnel }) => tunnel.name, () => createTunnel(this.#actions));
    const which = items.length === 0 ? 'none' : `${formatCount(first + 1)}–${formatCount(first + items.length)}`;
    const aside = this.#problemsOnly ? ' with problems' : '';
    setText(byId('tunnel-count'), `${which} of ${formatCount(found.length)}${aside}`);
    byId('tunnels-previous').disabled = this.#page === 0;
    byId('tunnels-next').disabled = this.#page >= pages - 1;
    setHidden(byId('tunnels-pager'), pages === 1);
  }
}
