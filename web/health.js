// What the conditions of an object mean for a person: a level, and what to do.

/** A session without a handshake for longer than this is no longer fresh. */
export const FRESH_SECONDS = 180;

const ADVICE = {
  AddressInUse: 'Find the program that has this port (ss -lntup), or change the listen port.',
  AddressNotAvailable: 'This host does not have the address: check the listen address.',
  PermissionDenied: 'Use a port from 1024 on, or grant CAP_NET_BIND_SERVICE.',
  ResourcesExhausted: 'Raise the limits of the service: descriptors or memory.',
  WorkerDown: 'The worker is started again by itself; if this stays, read the service’s log.',
  TunnelNotReady: 'Look at its tunnel first.',
  LookupFailed: 'Check the name of the endpoint, and the name servers of this host.',
  Resolving: 'Wait a moment: the endpoint’s name is being looked up.',
  NoAnswer: 'Check that the peer runs, that UDP gets through, and the keys on both sides.',
  Expired: 'Check that the peer runs and that UDP still gets through.',
  EndpointUnknown: 'Give the peer an endpoint, or let it call first.',
};

export function adviceFor(reason) {
  return ADVICE[reason] ?? 'Read the message, and the service’s log for this name.';
}

function readyCondition(object) {
  return object.status.conditions.find((condition) => condition.type === 'Ready');
}

/**
 * {level: 'ready'|'problem'|'disabled', reason, message, concern} of a tunnel or a forward. concern
 * is a condition that is false although the object is ready, as a target that refuses; or undefined.
 */
export function stateOf(object) {
  const ready = readyCondition(object);
  if (!ready) return { level: 'problem', reason: 'Unknown', message: '' };
  const { reason, message } = ready;
  if (ready.status !== 'True') return { level: object.enabled === false ? 'disabled' : 'problem', reason, message };
  const concern = object.status.conditions.find(({ status }) => status === 'False');
  return { level: 'ready', reason, message, concern };
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
