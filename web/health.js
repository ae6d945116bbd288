// What the conditions of an object mean for a person: a level, and what to do.

/** What to do, where the service's message does not say it. */
const ADVICE = {
  AddressInUse: 'Find the program that has this port (ss -lntup), or change the listen port.',
  AddressNotAvailable: 'Check the listen address, or give this host the address.',
  PermissionDenied: 'Use a port from 1024 on, or grant CAP_NET_BIND_SERVICE.',
  ResourcesExhausted: 'Raise the limits of the service: descriptors or memory.',
  Unreadable: 'Restore it from a backup of the database; or replace it with PUT, or DELETE it, through the API.',
  WorkerDown: 'It comes back by itself; if it does not, read the service’s log.',
  TunnelNotReady: 'Look at its tunnel first.',
  Invalid: 'Correct it; “manytun validate” says everything that is wrong with it.',
};

export function adviceFor(reason, message) {
  return ADVICE[reason] ?? (message === '' ? 'Read the service’s log for this name.' : '');
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

const HANDSHAKES = {
  Idle: 'idle',
  Connecting: 'connecting',
  Resolving: 'looking up its endpoint',
  WaitingForPeer: 'has not called yet',
  EndpointUnknown: 'no address to call',
  NoAnswer: 'no answer',
  Expired: 'no answer lately',
};

/**
 * How a peer's session is: {word, isBad}. The word is empty while it is fresh. Only a handshake that
 * was asked for and is not answered is bad; a peer that nobody talks to is idle.
 */
export function sessionOf(handshake) {
  if (!handshake) return { word: '', isBad: false };
  return { word: HANDSHAKES[handshake.reason] ?? '', isBad: handshake.status === 'False' };
}

/** Where a peer is, as text: a name with the address that is in use. */
export function endpointOf(peer, observed) {
  const defined = peer.endpoint;
  const used = observed.endpoint ?? defined ?? 'calls us';
  return observed.endpoint_resolved?.addresses && defined && used !== defined ? `${defined} (${used})` : used;
}

/** What is wrong with the endpoint of a peer; empty when nothing is. */
export function lookupOf(resolution) {
  return resolution?.status === 'False' || resolution?.reason === 'AddressKept' ? resolution.message : '';
}
