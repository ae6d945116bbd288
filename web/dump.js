// A dump for support. The service tells no secrets; keys and the names of endpoints are left out too.

const KEY_SHOWN = 6;

function redactEndpoint(endpoint) {
  return endpoint.replace(/^.*(?=:\d+$)/, '(host)');
}

const REDACT = {
  public_key: (key) => `${key.slice(0, KEY_SHOWN)}…`,
  endpoint: redactEndpoint,
  actor: (actor) => actor.replace(/:.*$/, ':(name)'),
};

/** A copy of JSON with every such member redacted, however deep. */
export function redact(json) {
  if (Array.isArray(json)) return json.map(redact);
  if (json === null || typeof json !== 'object') return json;
  return Object.fromEntries(
    Object.entries(json).map(([name, value]) => [
      name,
      REDACT[name] && typeof value === 'string' ? REDACT[name](value) : redact(value),
    ]),
  );
}
