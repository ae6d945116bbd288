import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Collection } from '../../../web/model.js';
import { SAMPLES, Meter, linePoints } from '../../../web/series.js';

function objects(...names) {
  return names.map((name) => ({ name, generation: 1 }));
}

function collection(...names) {
  const made = new Collection({});
  made.takePage('', { items: objects(...names) }, 0, 1);
  return made;
}

const names = (made) => made.all.map(({ name }) => name);

test('a page is the truth about its range of names, and about no other', () => {
  const made = collection('a', 'b', 'c', 'd', 'e');
  const next = made.takePage('a', { items: objects('c', 'cc'), next_cursor: 'cc' }, 2, 3);
  assert.equal(next, 'cc');
  assert.deepEqual(names(made), ['a', 'c', 'cc', 'd', 'e']);
});

test('the last page ends the list', () => {
  const made = collection('a', 'b', 'c');
  assert.equal(made.takePage('a', { items: [] }, 2, 3), '');
  assert.deepEqual(names(made), ['a']);
});

test('a page that was asked for before does not undo what was learnt later', () => {
  const made = collection('a', 'b');
  made.put({ name: 'new', generation: 1 }, 10);
  made.put({ name: 'a', generation: 2 }, 10);
  made.remove('b');
  made.takePage('', { items: objects('a', 'b') }, 9, 11);
  assert.deepEqual(made.all, [{ name: 'a', generation: 2 }, { name: 'new', generation: 1 }]);
  made.put({ name: 'b', generation: 2 }, 12);
  assert.deepEqual(names(made), ['a', 'b', 'new']);
});

test('a rate needs two readings, and survives a counter that starts again', () => {
  const meter = new Meter();
  meter.read(1000, 0);
  assert.equal(meter.rate, 0);
  meter.read(3000, 2000);
  assert.equal(meter.rate, 1000);
  meter.read(500, 3000);
  assert.equal(meter.rate, 500);
  meter.read(9000, 3999);
  assert.equal(meter.rate, 500);
  meter.read(600, 4000);
  assert.equal(meter.rate, 100);
});

test('only the last samples are kept', () => {
  const meter = new Meter();
  for (let i = 0; i <= SAMPLES + 10; i += 1) meter.read(i * 10, i * 1000);
  assert.equal(meter.samples.length, SAMPLES);
});

test('the newest sample is at the right, the highest at the top', () => {
  assert.equal(linePoints([0, 10], 59, 12), '58.0,11.0 59.0,1.0');
});
