// What the page knows of the service: objects by name, and rates of their counters.
import { Meter } from './series.js';

/** Of so many objects that are gone the last generation is remembered. */
const GONE_KEPT = 10_000;

/**
 * Objects of one kind. A page of a list is the truth about its range of names, as of the moment when
 * it was asked for: what was learnt later stays.
 */
export class Collection {
  #entries = new Map();
  /** The last generations of objects that are gone. */
  #gone = new Map();
  #ordered;

  /** counters: {name: (object) => value}, what is measured of each object. */
  constructor(counters) {
    this.counters = counters;
  }

  get size() {
    return this.#entries.size;
  }

  get(name) {
    return this.#entries.get(name)?.object;
  }

  /** In the order of names. */
  get all() {
    this.#ordered ??= [...this.#entries.values()]
      .map(({ object }) => object)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    return this.#ordered;
  }

  /** Takes an object that was received at a time, in milliseconds, unless a newer one is known. */
  put(object, time) {
    const { name, generation } = object;
    const entry = this.#entries.get(name) ?? { meters: this.#makeMeters() };
    if (generation < (entry.object?.generation ?? 0) || generation <= (this.#gone.get(name) ?? 0)) return;
    entry.object = object;
    entry.time = time;
    this.#entries.set(name, entry);
    this.#ordered = undefined;
    for (const [counter, read] of Object.entries(this.counters)) entry.meters[counter].read(read(object), time);
  }

  remove(name) {
    const entry = this.#entries.get(name);
    if (!entry) return;
    this.#gone.set(name, entry.object.generation);
    if (this.#gone.size > GONE_KEPT) this.#gone.delete(this.#gone.keys().next().value);
    this.#entries.delete(name);
    this.#ordered = undefined;
  }

  /**
   * Takes the page that follows the name after ('' = the first), asked for and received at these
   * times. Returns the next after, '' = it was the last.
   */
  takePage(after, page, askedAt, time) {
    const last = page.next_cursor === undefined ? undefined : page.items.at(-1)?.name;
    const present = new Set(page.items.map((object) => object.name));
    for (const { name } of this.all) {
      const isCovered = name > after && (last === undefined || name <= last);
      if (isCovered && !present.has(name) && this.#entries.get(name).time <= askedAt) this.remove(name);
    }
    for (const object of page.items) this.put(object, time);
    return last ?? '';
  }

  meters(name) {
    return this.#entries.get(name).meters;
  }

  #makeMeters() {
    return Object.fromEntries(Object.keys(this.counters).map((counter) => [counter, new Meter()]));
  }
}

export class Model {
  info = null;
  /** The newest event when the first status was read; what follows it is to be followed. */
  firstEventId;
  status = null;
  tunnels = new Collection({
    in: (tunnel) => tunnel.status.rx_bytes_total ?? 0,
    out: (tunnel) => tunnel.status.tx_bytes_total ?? 0,
  });
  forwards = new Collection({
    in: (forward) => forward.status.bytes_in_total,
    out: (forward) => forward.status.bytes_out_total,
  });
  totals = { in: new Meter(), out: new Meter() };

  takeStatus(status, time) {
    this.firstEventId ??= status.last_event_id;
    this.status = status;
    this.totals.in.read(status.bytes_in_total, time);
    this.totals.out.read(status.bytes_out_total, time);
  }

  /** Whether nothing is defined at all. */
  get isEmpty() {
    return this.status !== null && this.status.tunnels.total === 0 && this.status.forwards.total === 0;
  }
}
