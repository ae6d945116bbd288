// Keeps the model as new as the service allows: a round every two seconds asks for the status and
// for one page of each list, so that thousands of objects cost the service no more per round than
// hundreds. Whatever is known to have changed is asked for at once.

const ROUND_MS = 2000;
const RETRY_MAX_MS = 15_000;
/** Items per round and list; of the first page, which is shown while the others come; of those. */
const ROUND_ITEMS = 250;
const FIRST_ITEMS = 100;
const READ_ITEMS = 1000;
/** Of more forwards than a round reads, those that are shown are read as well: all, if so few. */
const SHOWN_SINGLY = 10;
/** Without an answer for so long, what is shown is stale. */
export const STALE_MS = 8000;
/** Changes that come together are asked for together. */
const GATHER_MS = 150;
/** More changed objects than this at once are found by reading the lists again. */
const CHANGED_MAX = 50;

const KINDS = ['tunnels', 'forwards'];

export class Refresh {
  #api;
  #model;
  #hooks;
  #after = { tunnels: '', forwards: '' };
  #timer;
  #failures = 0;
  #running = false;
  #stopped = true;
  #changed = new Map();
  #all = false;
  #gathering = false;
  updatedAt = 0;

  /**
   * hooks: {updated(), failed(error)}, called after each round; shown(), the names of the forwards
   * that are on the screen.
   */
  constructor(api, model, hooks) {
    this.#api = api;
    this.#model = model;
    this.#hooks = hooks;
  }

  get stopped() {
    return this.#stopped;
  }

  /** Reads everything, the status first, and then goes on round by round. */
  async start() {
    this.#stopped = false;
    this.#model.info = await this.#api.get('/v1/info');
    await this.#readStatus();
    for (const kind of KINDS) await this.#readPage(kind, FIRST_ITEMS);
    this.#succeed();
    for (const kind of KINDS) await this.#readOn(kind);
    this.#succeed();
    this.#schedule(ROUND_MS);
  }

  /** Everything is read anew in the next round, which is now. */
  everything() {
    this.#all = true;
    this.now();
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Asks now, as after an action. */
  now() {
    if (!this.#stopped && !this.#running) this.#schedule(0);
  }

  /** An object has changed: it is asked for very soon. kind: 'tunnel' or 'forward'. */
  changed(kind, name) {
    this.#changed.set(`${kind}/${name}`, { kind, name });
    if (this.#gathering || this.#stopped) return;
    this.#gathering = true;
    setTimeout(() => {
      this.#gathering = false;
      this.now();
    }, GATHER_MS);
  }

  #schedule(delay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#round(), delay);
  }

  #succeed() {
    this.#failures = 0;
    this.updatedAt = Date.now();
    this.#hooks.updated();
  }

  async #round() {
    // A page that nobody sees asks nothing.
    if (this.#stopped || document.hidden) return;
    this.#running = true;
    try {
      await this.#readChanged();
      await Promise.all([
        this.#readStatus(),
        this.#readShown(),
        ...KINDS.map((kind) => this.#readPage(kind, ROUND_ITEMS)),
      ]);
      this.#succeed();
    } catch (error) {
      this.#failures += 1;
      this.#all = true; // what changed meanwhile is not known
      this.#hooks.failed(error);
    } finally {
      this.#running = false;
    }
    if (this.#stopped) return;
    const isPending = (this.#changed.size > 0 || this.#all) && this.#failures === 0;
    this.#schedule(isPending ? GATHER_MS : Math.min(ROUND_MS * 2 ** this.#failures, RETRY_MAX_MS));
  }

  async #readStatus() {
    this.#model.takeStatus(await this.#api.get('/v1/status'), Date.now());
  }

  /** Reads the next page of a list, which goes round. */
  async #readPage(kind, limit) {
    this.#after[kind] = await this.#readAfter(kind, this.#after[kind], limit);
  }

  async #readAfter(kind, after, limit) {
    const askedAt = Date.now();
    const cursor = after === '' ? '' : `&cursor=${encodeURIComponent(after)}`;
    const page = await this.#api.get(`/v1/${kind}?limit=${limit}${cursor}`);
    return this.#model[kind].takePage(after, page, askedAt, Date.now());
  }

  /** Reads a list from where it is to its end. */
  async #readOn(kind) {
    while (this.#after[kind] !== '') await this.#readPage(kind, READ_ITEMS);
  }

  async #readLists() {
    for (const kind of KINDS) {
      this.#after[kind] = await this.#readAfter(kind, '', READ_ITEMS);
      await this.#readOn(kind);
    }
  }

  /** Reads what is on the screen, if that is a piece of the list, or little. */
  async #readShown() {
    const { all } = this.#model.forwards;
    const names = this.#hooks.shown();
    if (all.length <= ROUND_ITEMS || names.length === 0) return;
    if (names.length <= SHOWN_SINGLY) {
      await Promise.all(names.map((name) => this.#readOne('forwards', name)));
      return;
    }
    const places = names.map((name) => all.findIndex((forward) => forward.name === name));
    const first = Math.min(...places);
    const span = Math.max(...places) - first + 1;
    if (span > ROUND_ITEMS) return;
    await this.#readAfter('forwards', first === 0 ? '' : all[first - 1].name, span);
  }

  async #readChanged() {
    const changed = [...this.#changed.values()];
    this.#changed.clear();
    if (changed.length > CHANGED_MAX || this.#all) {
      this.#all = false;
      await this.#readLists();
      return;
    }
    await Promise.all(changed.map(({ kind, name }) => this.#readOne(`${kind}s`, name)));
  }

  async #readOne(kind, name) {
    try {
      this.#model[kind].put(await this.#api.get(`/v1/${kind}/${name}`), Date.now());
    } catch (error) {
      if (error.status !== 404) throw error;
      this.#model[kind].remove(name);
    }
  }
}
