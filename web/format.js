// Values as people read them.

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

export function formatBytes(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

export function formatRate(bytesPerSecond) {
  return `${formatBytes(Math.max(0, bytesPerSecond))}/s`;
}

export function formatCount(count) {
  return count.toLocaleString('en');
}

/** plural(1, 'forward') is "1 forward", plural(2, 'forward') "2 forwards". */
export function plural(count, noun) {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

const SPANS = [
  ['d', 86400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
];

/** The two largest units: "4 d 3 h", "2 min", "17 s". */
export function formatDuration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const first = SPANS.findIndex(([, size]) => whole >= size);
  if (first < 0) return '0 s';
  const [unit, size] = SPANS[first];
  const text = `${Math.floor(whole / size)} ${unit}`;
  const next = SPANS[first + 1];
  const rest = next ? Math.floor((whole % size) / next[1]) : 0;
  return rest > 0 && first < 2 ? `${text} ${rest} ${next[0]}` : text;
}

/** How long ago an RFC 3339 time was; now is in milliseconds. */
export function formatAge(time, now) {
  const seconds = (now - Date.parse(time)) / 1000;
  return seconds < 1 ? 'just now' : `${formatDuration(seconds)} ago`;
}

export function formatAddress({ address, port }) {
  if (address === undefined) return `port ${port}`;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

export function shortKey(key) {
  return `${key.slice(0, 8)}…`;
}
