// The dialogs that make tunnels and forwards. They check nothing: the service does, and says where.
import { openDialog } from './dialog.js';
import { el } from './dom.js';
import { buildDocument } from './fields.js';

let fieldsMade = 0;

/**
 * A labelled field. Its pointer is where its value goes, and where the service's errors about it
 * point. type: how its text becomes a value (fields.js). A secret one is never readable.
 */
export function field({ pointer, label, type = 'text', hint, input = 'input', options, secret, ...attributes }) {
  fieldsMade += 1;
  const id = `field-${fieldsMade}`;
  const control = el(
    input,
    { id, 'data-pointer': pointer, 'data-type': type, 'aria-describedby': `${id}-error`, autocomplete: secret ? 'new-password' : 'off', spellcheck: 'false', type: secret ? 'password' : undefined, ...attributes },
    (options ?? []).map(([value, text]) => el('option', { value }, text)),
  );
  return el(
    'div',
    { class: 'field' },
    el('label', { for: id }, label),
    control,
    el('p', { class: 'error', id: `${id}-error`, hidden: true }),
    hint && el('p', { class: 'hint' }, hint),
  );
}

function readDocument(form) {
  const controls = [...form.querySelectorAll('[data-pointer][data-type]')];
  return buildDocument(controls.map(({ dataset, value }) => ({ pointer: dataset.pointer, type: dataset.type, value })));
}

/* --- Forwards --- */

/** tunnels: names. done(forward) is called when it is made. */
export function openForwardForm(api, tunnels, done) {
  openDialog({
    title: 'Add a forward',
    submitLabel: 'Add the forward',
    content: [
      field({ pointer: '/name', label: 'Name', hint: 'Lower-case letters, digits and hyphens. Empty: one is made.' }),
      field({ pointer: '/tunnel', label: 'Tunnel', input: 'select', options: tunnels.map((name) => [name, name]) }),
      el('div', { class: 'pair' },
        field({ pointer: '/listen/address', label: 'Listen address', placeholder: '127.0.0.1' }),
        field({ pointer: '/listen/port', label: 'Listen port', type: 'number', inputmode: 'numeric', placeholder: 'a free one' })),
      el('div', { class: 'pair' },
        field({ pointer: '/target/host', label: 'Target address', placeholder: '192.168.4.2' }),
        field({ pointer: '/target/port', label: 'Target port', type: 'number', inputmode: 'numeric', placeholder: '80' })),
    ],
    async submit(dialog) {
      done(await api.write('POST', '/v1/forwards', readDocument(dialog)));
    },
  });
}

/* --- Tunnels --- */

function peerFields(number) {
  const at = `/peers/${number}`;
  return el(
    'fieldset',
    {},
    el('legend', {}, `Peer ${number + 1}`),
    field({ pointer: `${at}/public_key`, label: 'Public key', class: 'mono' }),
    el('div', { class: 'pair' },
      field({ pointer: `${at}/endpoint`, label: 'Endpoint', placeholder: 'vpn.example.org:51820' }),
      field({ pointer: `${at}/keepalive_seconds`, label: 'Keepalive (seconds)', type: 'number', inputmode: 'numeric', placeholder: 'off' })),
    field({ pointer: `${at}/allowed_ips`, label: 'Allowed IPs', type: 'list', placeholder: '192.168.4.0/24, fd00::/64' }),
    field({ pointer: `${at}/preshared_key`, label: 'Preshared key (optional)', secret: true }),
  );
}

/** done(tunnel) is called when it is made. */
export function openTunnelForm(api, done) {
  const peers = el('div', {}, peerFields(0));
  const another = el('button', { type: 'button' }, 'Another peer');
  another.addEventListener('click', () => {
    peers.append(peerFields(peers.childElementCount));
    peers.lastElementChild.querySelector('input').focus();
  });
  openDialog({
    title: 'Add a tunnel',
    submitLabel: 'Add the tunnel',
    content: [
      field({ pointer: '/name', label: 'Name', hint: 'Lower-case letters, digits and hyphens.' }),
      field({ pointer: '/private_key', label: 'Private key', hint: 'It is sent once, and cannot be read again.', secret: true }),
      field({ pointer: '/private_key_file', label: 'or a file on the service’s host that holds it', placeholder: '/etc/manytun/home.key' }),
      field({ pointer: '/addresses', label: 'Addresses of the tunnel', type: 'list', placeholder: '10.9.0.2/32' }),
      el('div', { class: 'pair' },
        field({ pointer: '/listen_port', label: 'UDP port', type: 'number', inputmode: 'numeric', placeholder: 'a free one' }),
        field({ pointer: '/mtu', label: 'MTU', type: 'number', inputmode: 'numeric', placeholder: '1420' })),
      peers,
      another,
    ],
    async submit(dialog) {
      done(await api.write('POST', '/v1/tunnels', readDocument(dialog)));
    },
  });
}
