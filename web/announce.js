// Short notes on what a person did: shown for a while, and spoken politely.
import { el } from './dom.js';

const SHOWN_MS = 6000;
const region = document.getElementById('notes');

export function announce(text, kind = 'done') {
  const note = el('p', { class: `note ${kind}` }, text);
  region.append(note);
  setTimeout(() => note.remove(), SHOWN_MS);
}
