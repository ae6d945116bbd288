// Follows /v1/events: as a stream, and page by page while there is none. The last events are kept.
import { SseParser } from './sse.js';

/** Events that are kept and shown. */
const KEPT = 50;
/** Events of one page, and the pause between pages while there is no stream. */
const PAGE_ITEMS = 200;
const POLL_MS = 2000;
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 15_000;
/** The service sends something every 15 seconds; a stream that is silent for longer is dead. */
const SILENCE_MS = 40_000;

export class Feed {
  #api;
  #hooks;
  #after = 0;
  #run = 0;
  #abort;
  /** Newest first. */
  events = [];
  streaming = false;

  /** hooks: {happened(events), missed(), changed()}: missed = what they changed is to be read anew. */
  constructor(api, hooks) {
    this.#api = api;
    this.#hooks = hooks;
  }

  /** Follows what happens after an id, with the last ones before it as the history. */
  async start(lastEventId) {
    this.#after = lastEventId;
    await this.#readHistory(lastEventId);
    this.#run += 1;
    this.#follow(this.#run);
  }

  stop() {
    this.#run += 1;
    this.#abort?.abort();
  }

  #take(events) {
    if (events.length === 0) return;
    this.#after = events.at(-1).id;
    this.events = [...events.toReversed(), ...this.events].slice(0, KEPT);
    this.#hooks.happened(events);
  }

  async #readHistory(lastEventId) {
    try {
      const page = await this.#readPage(Math.max(0, lastEventId - KEPT), KEPT);
      this.events = page.items.filter(({ id }) => id <= lastEventId).toReversed();
    } catch (error) {
      if (error.status !== 410) throw error;
      this.events = [];
    }
  }

  #readPage(since, limit) {
    return this.#api.get(`/v1/events?since=${since}&limit=${limit}`);
  }

  /** Streams; between two streams it asks for pages, so that nothing waits for the next stream. */
  async #follow(run) {
    let retry = RETRY_MIN_MS;
    while (run === this.#run) {
      const began = Date.now();
      await this.#attempt(() => this.#stream());
      this.#setStreaming(false);
      retry = Date.now() - began > SILENCE_MS ? RETRY_MIN_MS : Math.min(retry * 2, RETRY_MAX_MS);
      const until = Date.now() + retry;
      while (run === this.#run && Date.now() < until) {
        await new Promise((resolve) => setTimeout(resolve, Math.min(POLL_MS, retry)));
        await this.#attempt(() => this.#poll());
      }
    }
  }

  /** What fails is tried again; the page says by itself that it is stale. */
  async #attempt(action) {
    try {
      await action();
    } catch (error) {
      if (error.status === 410) await this.#attempt(() => this.#startAnew());
    }
  }

  /** The ids are no longer kept, or of another database. */
  async #startAnew() {
    this.#after = (await this.#api.get('/v1/status')).last_event_id;
    this.#hooks.missed();
  }

  async #poll() {
    this.#take((await this.#readPage(this.#after, PAGE_ITEMS)).items);
  }

  #setStreaming(streaming) {
    if (this.streaming === streaming) return;
    this.streaming = streaming;
    this.#hooks.changed();
  }

  async #stream() {
    this.#abort = new AbortController();
    const silence = setTimeout(() => this.#abort.abort(), SILENCE_MS);
    try {
      const response = await this.#api.send('GET', `/v1/events?since=${this.#after}`, {
        accept: 'text/event-stream',
        signal: this.#abort.signal,
      });
      if (!response.headers.get('Content-Type').startsWith('text/event-stream')) return;
      this.#setStreaming(true);
      await this.#readStream(response.body.pipeThrough(new TextDecoderStream()).getReader(), silence);
    } finally {
      clearTimeout(silence);
    }
  }

  async #readStream(reader, silence) {
    const parser = new SseParser();
    let timer = silence;
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(() => this.#abort.abort(), SILENCE_MS);
        this.#takeMessages(parser.push(value));
        if (parser.lastId !== '') this.#after = Number(parser.lastId);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #takeMessages(messages) {
    if (messages.some(({ event }) => event === 'gap')) this.#hooks.missed();
    this.#take(messages.filter(({ event }) => event === 'message').map(({ data }) => JSON.parse(data)));
  }
}
