// A state as people see it: a shape, a colour and words, so that none of them is needed alone.
import { el, setAttribute, setText } from './dom.js';

const SHAPES = { ready: '●', problem: '▲', disabled: '○' };
const WORDS = { ready: 'Ready', problem: 'Problem', disabled: 'Disabled' };

export function createState() {
  const shape = el('span', { 'aria-hidden': 'true', class: 'shape' });
  const word = el('span', { class: 'word' });
  const reason = el('span', { class: 'sub' });
  const element = el('span', { class: 'state' }, shape, word, reason);
  function update({ level, reason: text, message, concern }) {
    setAttribute(element, 'class', `state ${level}`);
    setAttribute(element, 'title', concern?.message || message || null);
    setText(shape, SHAPES[level]);
    setText(word, WORDS[level]);
    setText(reason, concern ? `▲ ${concern.reason}` : level === 'disabled' ? '' : text);
    setAttribute(reason, 'class', concern ? 'sub warning' : 'sub');
  }
  return { element, update };
}
