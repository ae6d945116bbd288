// Giving the person a file. Links cannot carry the token, so files are fetched first.
import { el } from './dom.js';

export function saveFile(name, content, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  el('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
