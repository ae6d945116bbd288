// What the conditions of an object mean for a person: a level, and what to do.

/** A session without a handshake for longer than this is no longer fresh. */
export const FRESH_SECONDS = 180;

const ADVICE = {
  AddressInUse: 'Find the program that has this port (ss -lntp), or change the listen port.',
  AddressNotAvailable: 'This host does not have the address: check the listen address.',
  PermissionDenied: 'Use a port from 1024 on, or grant CAP_NET_BIND_SERVICE.',
  ResourcesExhausted: 'Raise the limits of the service: descriptors or memory.',
  WorkerDown: 'The worker is started again by itself; if this stays, read the service’s log.',
  TunnelNotReady: 'Look at its tunnel first.',
  EndpointUnresolved: 'Check the name of the endpoint and the DNS of this host.',
  HandshakeFailed: 'Check the endpoint, the keys on both sides, and that UDP gets through.',
  HandshakeFailing: 'Check the endpoint, the keys on both sides, and that UDP gets through.',
  HandshakeTimeout: 'Check the endpoint, the keys on both sides, and that UDP gets through.',
  NoHandshake: 'Check the endpoint, the keys on both sides, and that UDP gets through.',
  TargetUnreachable: 'Check that the target runs, and that its peer’s allowed IPs hold its address.',
  TargetRefused: 'Nothing listens at the target: check its address and port.',
};

export function adviceFor(reason) {
  return ADVICE[reason] ?? 'Read the message, and the service’s log for this name.';
}

export function readyCondition(object) {
  return object.status.conditions.find((condition) => condition.type === 'Ready');
}

/** {level: 'ready'|'problem'|'disabled', reason, message, since} of a tunnel or a forward. */
export function stateOf(object) {
  const ready = readyCondition(object);
  if (!ready) return { level: 'problem', reason: 'Unknown', message: '', since: object.created_at };
  const disabled = object.enabled === false;
  const level = ready.status === 'True' ? 'ready' : disabled ? 'disabled' : 'problem';
  return { level, reason: ready.reason, message: ready.message, since: ready.last_transition_time };
}

/**
 * How a peer's session is: 'fresh', 'idle' (no recent handshake, and nothing asks for one), 'late'
 * (keepalive asks for one), or 'never'. Only handshakes that fail are a problem, and the tunnel's
 * conditions say so.
 */
export function sessionOf(lastHandshakeAt, keepaliveSeconds, now) {
  if (lastHandshakeAt === undefined) return 'never';
  const age = (now - Date.parse(lastHandshakeAt)) / 1000;
  if (age <= FRESH_SECONDS) return 'fresh';
  return keepaliveSeconds > 0 ? 'late' : 'idle';
}
