// The last events, newest first.
import { el, reconcile, setAttribute, setHidden, setText } from './dom.js';
import { formatAge } from './format.js';

const list = document.getElementById('event-list');
const none = document.getElementById('no-events');

/** Kinds whose objects the page can show. */
const SHOWN_KINDS = new Set(['tunnel', 'forward']);

function createEvent(event, onShow) {
  const { kind, name, reason = '', message = '', actor } = event;
  const word = event.type.replace(`${kind}.`, '');
  const subject = name && SHOWN_KINDS.has(kind) ? el('button', { type: 'button', class: 'link' }, name) : el('span', { class: 'name' }, name ?? '');
  subject.addEventListener('click', () => onShow({ kind, name }));
  const time = el('time', { class: 'sub', datetime: event.time, title: new Date(event.time).toLocaleString() });
  const element = el(
    'li',
    {},
    time,
    el('span', {}, `${kind} `, subject, ` ${word}`),
    el('span', { class: 'event-text' }, [reason, message].filter(Boolean).join(': ')),
    el('span', { class: 'sub' }, actor),
  );
  function update({ now }) {
    setText(time, formatAge(event.time, now));
    setAttribute(element, 'data-id', event.id);
  }
  return { element, update };
}

/** onShow({kind, name}): the person wants to see this object. */
export function updateEvents(events, now, onShow) {
  const items = events.map((event) => ({ event, now }));
  reconcile(list, items, ({ event }) => event.id, ({ event }) => createEvent(event, onShow));
  setHidden(none, items.length > 0);
}
