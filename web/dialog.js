// One way to open a modal dialog: a form with a title, fields, and problems shown where they belong.
import { el, setHidden, setText } from './dom.js';
import { assignErrors, placeOf } from './fields.js';

/**
 * Opens a dialog. submit(dialog) does what the dialog is for; the dialog closes unless it resolves to
 * false. An ApiError that it throws is shown, each of its errors at the element with the nearest
 * data-pointer. Without submit there is only a button that closes the dialog.
 */
export function openDialog({ title, content, submitLabel, submit, cancelLabel = 'Cancel', dangerous = false }) {
  document.querySelector('dialog')?.close(); // as after a double click
  const heading = el('h2', { id: 'dialog-title', tabindex: '-1' }, title);
  const trouble = el('div', { class: 'trouble', role: 'alert' });
  const cancel = el('button', { type: 'button' }, cancelLabel);
  const confirm = submit && el('button', { type: 'submit', class: dangerous ? 'danger' : 'primary' }, submitLabel);
  const form = el('form', { novalidate: true }, heading, trouble, ...content, el('div', { class: 'buttons' }, cancel, confirm));
  const dialog = el('dialog', { 'aria-labelledby': 'dialog-title' }, form);
  cancel.addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', () => dialog.remove());
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (!submit || confirm.disabled) return;
    confirm.disabled = true;
    clearProblem(form, trouble);
    try {
      if ((await submit(dialog)) !== false) dialog.close();
    } catch (error) {
      showProblem(form, trouble, error);
    } finally {
      confirm.disabled = false;
    }
  });
  document.body.append(dialog);
  dialog.showModal();
  (form.querySelector('[autofocus]') ?? (dangerous ? cancel : form.querySelector('input, textarea, select')) ?? cancel).focus();
  return dialog;
}

function clearProblem(form, trouble) {
  trouble.replaceChildren();
  for (const field of form.querySelectorAll('[data-pointer]')) {
    field.removeAttribute('aria-invalid');
    const message = document.getElementById(field.getAttribute('aria-describedby'));
    if (message) {
      setText(message, '');
      setHidden(message, true);
    }
  }
}

/** Where every error is shown at its field, the title is enough. */
function summaryOf({ title, message }, isPlaced) {
  if (!title) return message;
  return isPlaced ? title : `${title}: ${message}`;
}

function showProblem(form, trouble, error) {
  const fields = new Map([...form.querySelectorAll('[data-pointer]')].map((field) => [field.dataset.pointer, field]));
  const { placed, rest } = assignErrors(error.errors ?? [], [...fields.keys()]);
  for (const [pointer, details] of placed) {
    const field = fields.get(pointer);
    const message = document.getElementById(field.getAttribute('aria-describedby'));
    field.setAttribute('aria-invalid', 'true');
    setText(message, details.join('; '));
    setHidden(message, false);
  }
  trouble.replaceChildren(
    el('p', {}, summaryOf(error, placed.size > 0 && rest.length === 0)),
    ...rest.map((each) => el('p', { class: 'sub' }, `${placeOf(each)}: ${each.detail}`)),
  );
  if (placed.size > 0) fields.get([...placed.keys()][0]).focus();
}
