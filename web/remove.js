// Deleting: the object as it is now, what goes with it, and then exactly this version of it.
import { openDialog } from './dialog.js';
import { el, setText } from './dom.js';
import { plural } from './format.js';

/** Names that are listed of what goes with a tunnel. */
const NAMES_SHOWN = 8;

function describeForward(forward) {
  const open = forward.status.connections_active;
  return [open > 0 ? `This drops ${plural(open, 'open connection')}.` : 'It has no open connections.'];
}

function describeTunnel(forwards) {
  if (forwards.length === 0) return ['No forward uses it.'];
  const open = forwards.reduce((sum, forward) => sum + forward.status.connections_active, 0);
  const names = forwards.slice(0, NAMES_SHOWN).map((forward) => forward.name).join(', ');
  const rest = forwards.length - NAMES_SHOWN;
  return [
    `This deletes ${plural(forwards.length, 'forward')} too: ${names}${rest > 0 ? ` and ${rest} more` : ''}.`,
    open > 0 ? `It drops ${plural(open, 'open connection')}.` : 'They have no open connections.',
  ];
}

/** What is deleted, and its consequences, in sentences. */
async function look(api, kind, name) {
  const path = `/v1/${kind}s/${name}`;
  const { object, etag } = await api.getTagged(path);
  const lines =
    kind === 'forward' ? describeForward(object) : describeTunnel(await api.list(`/v1/forwards?tunnel=${name}`));
  return { etag, lines };
}

/**
 * kind: 'tunnel' or 'forward'. done() is called when it is gone; then the keyboard goes on at next,
 * since the button that it came from is gone too.
 */
export async function openRemoval(api, { kind, name, next }, done) {
  let seen = await look(api, kind, name);
  const lines = el('div', {});
  const show = () => lines.replaceChildren(...seen.lines.map((line) => el('p', {}, line)));
  show();
  const path = `/v1/${kind}s/${name}${kind === 'tunnel' ? '?cascade=true' : ''}`;
  const dialog = openDialog({
    title: `Delete the ${kind} “${name}”?`,
    submitLabel: `Delete ${name}`,
    dangerous: true,
    content: [lines],
    async submit() {
      try {
        await api.remove(path, seen.etag);
      } catch (error) {
        if (error.status === 412) {
          seen = await look(api, kind, name);
          show();
          error.message = 'it was changed meanwhile. What is said here is new: look again';
        }
        throw error;
      }
      done();
      dialog.addEventListener('close', () => next.focus());
    },
  });
  setText(dialog.querySelector('button[type=button]'), `Keep ${name}`);
}
