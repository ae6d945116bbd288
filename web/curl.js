// Requests as commands for a shell.

/** Quotes for a POSIX shell. */
export function shellQuote(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The fields that a client writes. */
const FORWARD_FIELDS = [
  'tunnel', 'direction', 'protocol', 'listen', 'target', 'enabled', 'connect_timeout_seconds', 'idle_timeout_seconds',
];
const TUNNEL_FIELDS = ['addresses', 'mtu', 'congestion_control', 'listen_port', 'listen_address', 'peers'];

function pick(object, fields) {
  return Object.fromEntries(fields.filter((field) => object[field] !== undefined).map((field) => [field, object[field]]));
}

function tunnelDefinition(tunnel) {
  const definition = pick(tunnel, TUNNEL_FIELDS);
  definition.peers = definition.peers.map(({ has_preshared_key: ignored, ...peer }) => peer);
  return definition;
}

/**
 * The command for a request with a body. The token is read from a file by the shell, and is never part of it.
 * where: {base: the service's URL, auth: 'token'|'none'}
 */
function curlCommand(where, method, path, body) {
  const parts = [`curl -X ${method} ${shellQuote(where.base + path)}`];
  if (where.auth !== 'none') parts.push('-H "Authorization: Bearer $(cat data/admin.token)"');
  parts.push("-H 'Content-Type: application/json'", `-d ${shellQuote(JSON.stringify(body, null, 2))}`);
  return parts.join(' \\\n  ');
}

/** The command that makes the forward as it is, here or on another service. */
export function forwardCommand(where, forward) {
  return curlCommand(where, 'PUT', `/v1/forwards/${forward.name}`, pick(forward, FORWARD_FIELDS));
}

/** The same of a tunnel. Its secrets are not readable, and a PUT without them keeps them. */
export function tunnelCommand(where, tunnel) {
  return curlCommand(where, 'PUT', `/v1/tunnels/${tunnel.name}`, tunnelDefinition(tunnel));
}

/** What makes the first tunnel. */
export function firstTunnelCommand(where) {
  return curlCommand(where, 'POST', '/v1/tunnels', {
    name: 'home',
    addresses: ['10.9.0.2/32'],
    private_key: '<your private key>',
    peers: [
      { public_key: '<the peer’s public key>', endpoint: 'vpn.example.org:51820', allowed_ips: ['192.168.4.0/24'] },
    ],
  });
}
