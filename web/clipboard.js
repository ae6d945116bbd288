// Copying. Where the browser does not allow it (a page that is not from localhost and not over
// TLS), the text is shown, selected, for the person to copy.
import { announce } from './announce.js';
import { el } from './dom.js';
import { openDialog } from './dialog.js';

export async function copyText(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    announce(`Copied ${what}`);
  } catch {
    showText(text, what);
  }
}

function showText(text, what) {
  const area = el('textarea', { readonly: true, rows: 8, class: 'mono', 'aria-label': what }, text);
  openDialog({ title: `Copy ${what}`, content: [area], cancelLabel: 'Close' });
  area.select();
}
