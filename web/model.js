// What the page knows of the service: objects by name, and rates of their counters.
import { Meter } from './series.js';

/** Objects of one kind. A page of a list is the truth about its range of names. */
export class Collection {
  #objects = new Map();
  #meters = new Map();
  #ordered;

  /** counters: {name: (object) => value}, what is measured of each object. */
  constructor(counters) {
    this.counters = counters;
  }

  get size() {
    return this.#objects.size;
  }

  get(name) {
    return this.#objects.get(name);
  }

  /** In the order of names. */
  get all() {
    this.#ordered ??= [...this.#objects.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    return this.#ordered;
  }

  put(object, time) {
    this.#objects.set(object.name, object);
    this.#ordered = undefined;
    let meters = this.#meters.get(object.name);
    if (!meters) {
      meters = Object.fromEntries(Object.keys(this.counters).map((name) => [name, new Meter()]));
      this.#meters.set(object.name, meters);
    }
    for (const [name, read] of Object.entries(this.counters)) meters[name].read(read(object), time);
  }

  remove(name) {
    if (!this.#objects.delete(name)) return;
    this.#meters.delete(name);
    this.#ordered = undefined;
  }

  /** Takes the page that follows the name after ('' = the first). Returns the next after, '' = it was the last. */
  takePage(after, page, time) {
    const last = page.next_cursor === undefined ? undefined : page.items.at(-1)?.name;
    const present = new Set(page.items.map((object) => object.name));
    for (const { name } of this.all) {
      const covered = name > after && (last === undefined || name <= last);
      if (covered && !present.has(name)) this.remove(name);
    }
    for (const object of page.items) this.put(object, time);
    return last ?? '';
  }

  meters(name) {
    return this.#meters.get(name);
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
