// Objects as the API makes them.

export function condition(status, reason, message = '') {
  return { type: 'Ready', status, reason, message, last_transition_time: '2024-05-01T12:00:00.000Z' };
}

export function makeForward(name, { status, ...more } = {}) {
  return {
    name,
    tunnel: 'home',
    direction: 'local',
    protocol: 'tcp',
    listen: { address: '127.0.0.1', port: 0 },
    target: { host: '192.168.4.2', port: 80 },
    enabled: true,
    connect_timeout_seconds: 10,
    idle_timeout_seconds: 0,
    source: 'api',
    generation: 1,
    created_at: '2024-05-01T12:00:00.000Z',
    ...more,
    status: {
      observed_generation: 1,
      bound: { address: '127.0.0.1', port: 41873 },
      connections_active: 0,
      connections_total: 0,
      connect_failures_total: 0,
      bytes_in_total: 0,
      bytes_out_total: 0,
      conditions: [condition('True', 'Listening')],
      ...status,
    },
  };
}
