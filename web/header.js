// The top of the page: what this is, how new it is, and as whom.
import { setAttribute, setHidden, setText } from './dom.js';
import { formatDuration } from './format.js';
import { STALE_MS } from './refresh.js';

const byId = (id) => document.getElementById(id);

/** freshness: {updatedAt, streaming, error} */
export function updateHeader(info, freshness, now) {
  if (info) {
    setText(byId('version'), info.version);
    setText(byId('uptime'), `up ${formatDuration((now - Date.parse(info.started_at)) / 1000)}`);
    const workers = info.workers;
    setText(byId('workers'), `${workers.alive} of ${workers.count} workers`);
    setText(byId('role'), info.role ?? (info.auth === 'none' ? 'anyone' : 'token'));
    setHidden(byId('auth-off'), info.auth !== 'none');
  }
  updateLive(freshness, now);
}

function updateLive({ updatedAt, streaming, error }, now) {
  const age = now - updatedAt;
  const stale = updatedAt === 0 || age > STALE_MS;
  const mode = stale ? 'stale' : streaming ? 'live' : 'polling';
  const word = { stale: 'Stale', live: 'Live', polling: 'Polling' }[mode];
  setAttribute(byId('live'), 'class', `live ${mode}`);
  setText(byId('live-shape'), stale ? '▲' : '●');
  setText(byId('live-word'), word);
  const when = updatedAt === 0 ? 'no data yet' : `updated ${formatDuration(age / 1000)} ago`;
  setText(byId('live-age'), stale && error ? `${when}; ${error}` : when);
  setAttribute(byId('live'), 'title', streaming ? 'Changes arrive as events' : 'The service is asked every two seconds');
}
