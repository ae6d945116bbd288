// Keeps the model as new as the service allows: a round every two seconds asks for the status and
// for one page of each list, so that thousands of objects cost the service no more per round than
// hundreds. Whatever is known to have changed is asked for at once.

const ROUND_MS = 2000;
const RETRY_MAX_MS = 15_000;
/** Items per round and list. */
const PAGE_ITEMS = 500;
/** Without an answer for so long, what is shown is stale. */
export const STALE_MS = 8000;
/** Changes that come together are asked for together. */
const GATHER_MS = 150;
/** More changed objects than this at once are found by reading the lists again. */
const CHANGED_MAX = 50;

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

  /** hooks: {updated(), failed(error)}, called after each round. */
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
    await this.#readLists();
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
      await Promise.all([this.#readStatus(), this.#readPage('tunnels'), this.#readPage('forwards')]);
      this.#succeed();
    } catch (error) {
      this.#failures += 1;
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

  async #readPage(kind) {
    const after = this.#after[kind];
    const cursor = after === '' ? '' : `&cursor=${encodeURIComponent(after)}`;
    const page = await this.#api.get(`/v1/${kind}?limit=${PAGE_ITEMS}${cursor}`);
    this.#after[kind] = this.#model[kind].takePage(after, page, Date.now());
  }

  async #readLists() {
    for (const kind of ['tunnels', 'forwards']) {
      this.#after[kind] = '';
      do {
        await this.#readPage(kind);
      } while (this.#after[kind] !== '');
    }
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
