// Importing a wg-quick file: chosen or pasted, shown with its keys hidden, tried, and then made.
import { openDialog } from './dialog.js';
import { el, setHidden, setText } from './dom.js';
import { placeOf } from './fields.js';
import { field } from './forms.js';
import { hideSecrets } from './wgquick.js';

/** Larger files are no wg-quick files. */
const FILE_MAX = 1 << 20;

function path(name, isTrial) {
  return `/v1/tunnels/${encodeURIComponent(name)}/config${isTrial ? '?dry_run=true' : ''}`;
}

function createPreview() {
  const lines = el('ol', { class: 'lines mono', 'aria-label': 'The file, with its keys hidden', tabindex: '0' });
  const outcome = el('div', { class: 'outcome', role: 'status' });
  let items = [];
  function show(text) {
    items = text.split(/\r?\n/).map((line) => el('li', {}, hideSecrets(line)));
    lines.replaceChildren(...items);
    setHidden(lines, text === '');
  }
  function mark(errors) {
    for (const item of items) item.classList.remove('wrong');
    for (const error of errors) items[error.line - 1]?.classList.add('wrong');
  }
  show('');
  return { lines, outcome, show, mark };
}

function describe({ warnings, ...tunnel }) {
  const peers = tunnel.peers.map((peer) => `${peer.name} (${peer.endpoint ?? 'calls us'}; ${peer.allowed_ips.join(', ')})`);
  return [
    el('p', {}, `Tunnel ${tunnel.name}: ${tunnel.addresses.join(', ')}, MTU ${tunnel.mtu}`),
    el('p', {}, `Peers: ${peers.join('; ') || 'none'}`),
    ...warnings.map((warning) => el('p', { class: 'warning' }, `▲ ${placeOf(warning)}: ${warning.detail}`)),
  ];
}

function warnOfReplacement(name) {
  return el('p', { class: 'warning' }, `▲ There is a tunnel ${name}: this replaces its definition.`);
}

/** Only what the person saw is replaced: this version of a tunnel, or none. */
function preconditionOf(present) {
  return present ? { ifMatch: `"${present.generation}"` } : { ifNoneMatch: '*' };
}

/** tunnels: those that are there. done(tunnel) is called when it is made. */
export function openImport(api, tunnels, done) {
  let text = '';
  let tried = null;
  const preview = createPreview();
  const name = field({ pointer: '/name', label: 'Name of the tunnel', hint: 'Lower-case letters, digits and hyphens.' });
  const nameInput = name.querySelector('input');
  const file = el('input', { type: 'file', accept: '.conf,text/plain', id: 'import-file' });
  const paste = el('textarea', { rows: 2, id: 'import-paste', placeholder: 'Paste it here: it is taken at once, its keys hidden', spellcheck: 'false', autocomplete: 'off' });

  function take(content) {
    text = content;
    preview.show(text);
    restart();
  }
  /** What was tried is no longer what is in the form. */
  function restart() {
    tried = null;
    preview.outcome.replaceChildren();
    setText(dialog.querySelector('button[type=submit]'), 'Preview');
  }

  file.addEventListener('change', async () => {
    const [chosen] = file.files;
    if (!chosen) return;
    if (chosen.size > FILE_MAX) {
      preview.outcome.replaceChildren(el('p', { class: 'error' }, 'This file is too large to be one of wg-quick.'));
      return;
    }
    if (nameInput.value === '') nameInput.value = chosen.name.replace(/\.conf$/, '').toLowerCase();
    take(await chosen.text());
  });
  paste.addEventListener('paste', (event) => {
    event.preventDefault();
    take(event.clipboardData.getData('text/plain'));
  });
  paste.addEventListener('change', () => {
    if (paste.value !== '') take(paste.value);
    paste.value = '';
  });
  nameInput.addEventListener('input', restart);

  async function send(isTrial) {
    try {
      const response = await api.send('PUT', path(nameInput.value, isTrial), {
        body: text,
        type: 'text/plain',
        ...preconditionOf(tunnels.get(nameInput.value)),
      });
      return await response.json();
    } catch (error) {
      preview.mark(error.errors ?? []);
      throw error;
    }
  }

  const dialog = openDialog({
    title: 'Import a wg-quick file',
    submitLabel: 'Preview',
    content: [
      name,
      el('div', { class: 'field' }, el('label', { for: 'import-file' }, 'File'), file),
      el('div', { class: 'field' }, el('label', { for: 'import-paste' }, 'or its text'), paste),
      preview.lines,
      preview.outcome,
    ],
    async submit() {
      preview.mark([]);
      if (tried) {
        const { warnings: ignored, ...tunnel } = await send(false);
        done(tunnel);
        return true;
      }
      tried = await send(true);
      const replaces = tunnels.get(tried.name) !== undefined;
      preview.outcome.replaceChildren(...describe(tried), ...(replaces ? [warnOfReplacement(tried.name)] : []));
      setText(dialog.querySelector('button[type=submit]'), replaces ? `Replace ${tried.name}` : 'Import the tunnel');
      return false;
    },
  });
}
