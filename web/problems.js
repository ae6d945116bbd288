// Everything that is not as it should be, before anything else.
import { el, reconcile, setAttribute, setHidden, setText } from './dom.js';
import { formatCount, formatDuration, plural } from './format.js';
import { adviceFor } from './health.js';

/** So many are listed; the number says how many there are. */
const SHOWN = 20;

const list = document.getElementById('problem-list');
const summary = document.getElementById('problem-summary');
const more = document.getElementById('problem-more');

function createProblem(onShow) {
  const name = el('button', { type: 'button', class: 'link' });
  const kind = el('span', { class: 'sub' });
  const reason = el('span', { class: 'reason' });
  const since = el('span', { class: 'sub' });
  const message = el('p', { class: 'message' });
  const advice = el('p', { class: 'advice' });
  const element = el(
    'li',
    {},
    el('span', { class: 'shape', 'aria-hidden': 'true' }, '▲'),
    el('div', {}, el('p', {}, kind, ' ', name, ' ', reason, ' ', since), message, advice),
  );
  let current;
  name.addEventListener('click', () => onShow(current));
  function update({ problem, now }) {
    current = problem;
    setText(kind, problem.kind);
    setText(name, problem.name);
    setText(reason, problem.reason);
    setText(since, `for ${formatDuration((now - Date.parse(problem.since)) / 1000)}`);
    setText(message, problem.message);
    setText(advice, adviceFor(problem.reason, problem.message));
  }
  return { element, update };
}

function summaryOf(status) {
  const ready = status.tunnels.ready + status.forwards.ready;
  const disabled = status.forwards.disabled;
  const aside = disabled > 0 ? `, ${formatCount(disabled)} disabled` : '';
  if (status.problems_total > 0) return `${plural(status.problems_total, 'problem')}; ${formatCount(ready)} ready${aside}`;
  if (ready + disabled === 0) return 'Nothing is defined yet';
  return `All ${formatCount(ready)} ready${aside}`;
}

function levelOf(status) {
  if (status.problems_total > 0) return 'problem';
  return status.tunnels.total + status.forwards.total === 0 ? 'nothing' : 'ready';
}

/** onShow(problem): the person wants to see this object. */
export function updateProblems(status, now, onShow) {
  const text = summaryOf(status);
  // It is an aria-live region: it speaks when the text changes, and then only.
  setText(summary, text);
  const count = status.problems_total;
  document.title = count > 0 ? `▲ ${formatCount(count)} · manytun` : 'manytun';
  setAttribute(summary, 'class', `summary ${levelOf(status)}`);
  const items = status.problems.slice(0, SHOWN).map((problem) => ({ problem, now }));
  reconcile(list, items, ({ problem }) => `${problem.kind}/${problem.name}/${problem.condition}`, () => createProblem(onShow));
  setHidden(list, items.length === 0);
  const rest = status.problems_total - items.length;
  setHidden(more, rest <= 0);
  setText(more, `and ${formatCount(rest)} more: filter the forwards by “problem” to see them`);
}
