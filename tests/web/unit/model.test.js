import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Collection } from '../../../web/model.js';
import { SAMPLES, Meter, linePoints } from '../../../web/series.js';

function collection(names) {
  const made = new Collection({});
  made.takePage('', { items: names.map((name) => ({ name })) }, 0);
  return made;
}

const names = (made) => made.all.map(({ name }) => name);

test('a page is the truth about its range of names, and about no other', () => {
  const made = collection(['a', 'b', 'c', 'd', 'e']);
  const next = made.takePage('a', { items: [{ name: 'c' }, { name: 'cc' }], next_cursor: 'cc' }, 1);
  assert.equal(next, 'cc');
  assert.deepEqual(names(made), ['a', 'c', 'cc', 'd', 'e']);
});

test('the last page ends the list', () => {
  const made = collection(['a', 'b', 'c']);
  assert.equal(made.takePage('a', { items: [] }, 1), '');
  assert.deepEqual(names(made), ['a']);
});

test('a rate needs two readings, and survives a counter that starts again', () => {
  const meter = new Meter();
  meter.read(1000, 0);
  assert.equal(meter.rate, 0);
  meter.read(3000, 2000);
  assert.equal(meter.rate, 1000);
  meter.read(500, 3000);
  assert.equal(meter.rate, 500);
  meter.read(9000, 3000);
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
