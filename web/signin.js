// The token: asked for, and kept for this tab only.
import { setHidden, setText } from './dom.js';

const KEY = 'manytun.token';
const section = document.getElementById('sign-in');
const form = document.getElementById('sign-in-form');
const input = document.getElementById('token');
const trouble = document.getElementById('sign-in-trouble');

export function keptToken() {
  return sessionStorage.getItem(KEY) ?? '';
}

export function forgetToken() {
  sessionStorage.removeItem(KEY);
}

/** Resolves with the token that the person gives. why: what was wrong with the last one, or ''. */
export function askToken(why) {
  setText(trouble, why);
  setHidden(section, false);
  input.setAttribute('aria-invalid', String(why !== ''));
  input.focus();
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      const token = input.value.trim();
      if (token === '') return;
      input.value = '';
      sessionStorage.setItem(KEY, token);
      setHidden(section, true);
      resolve(token);
    };
  });
}
