// The service's API: requests with the token, and problems as exceptions.

/** A problem (RFC 9457) that the service answered with; status 0 = no answer. */
export class ApiError extends Error {
  constructor(problem) {
    super(problem.detail ?? problem.title);
    this.status = problem.status;
    this.code = (problem.type ?? '').replace('/problems/', '');
    this.title = problem.title;
    this.errors = problem.errors ?? [];
  }
}

const NO_ANSWER = { status: 0, title: 'The service does not answer' };

async function readProblem(response) {
  const type = response.headers.get('Content-Type') ?? '';
  if (type.startsWith('application/problem+json')) return response.json();
  return { status: response.status, title: `The answer was ${response.status}` };
}

const TIMEOUT_MS = 30_000;

export class Api {
  /** Empty = none, which is right where the service wants none. */
  token = '';

  headers(more) {
    return this.token === '' ? more : { ...more, Authorization: `Bearer ${this.token}` };
  }

  /** The response, of any good status. options: {body, type, ifMatch, ifNoneMatch, signal, accept} */
  async send(method, path, options = {}) {
    const headers = this.headers({});
    if (options.type) headers['Content-Type'] = options.type;
    if (options.ifMatch) headers['If-Match'] = options.ifMatch;
    if (options.ifNoneMatch) headers['If-None-Match'] = options.ifNoneMatch;
    if (options.accept) headers.Accept = options.accept;
    let response;
    try {
      response = await fetch(path, {
        method,
        headers,
        body: options.body,
        signal: options.signal ?? AbortSignal.timeout(TIMEOUT_MS),
        cache: 'no-store',
        credentials: 'omit',
      });
    } catch (error) {
      throw new ApiError({ ...NO_ANSWER, detail: error.message });
    }
    if (!response.ok) throw new ApiError(await readProblem(response));
    return response;
  }

  async get(path) {
    return (await this.send('GET', path, { accept: 'application/json' })).json();
  }

  /** An object with its ETag. */
  async getTagged(path) {
    const response = await this.send('GET', path);
    return { object: await response.json(), etag: response.headers.get('ETag') };
  }

  async write(method, path, document) {
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    return (await this.send(method, path, { body: JSON.stringify(document), type })).json();
  }

  async remove(path, ifMatch) {
    await this.send('DELETE', path, { ifMatch });
  }

  /** Every item of a list. */
  async list(path) {
    const items = [];
    let cursor = '';
    do {
      const page = await this.get(`${path}${path.includes('?') ? '&' : '?'}limit=1000${cursor}`);
      items.push(...page.items);
      cursor = page.next_cursor === undefined ? '' : `&cursor=${encodeURIComponent(page.next_cursor)}`;
    } while (cursor !== '');
    return items;
  }
}
