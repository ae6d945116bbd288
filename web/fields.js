// Between the fields of a form and the documents of the API. No elements here.

/** The pointer in pointers that a JSON pointer is at or below, the longest; undefined if none. */
function nearest(pointer, pointers) {
  return pointers
    .filter((each) => pointer === each || pointer.startsWith(`${each}/`))
    .sort((a, b) => b.length - a.length)[0];
}

/** Where the errors of a problem are shown: placed = pointer of a field → details; rest = the others. */
export function assignErrors(errors, pointers) {
  const placed = new Map();
  const rest = [];
  for (const error of errors) {
    const pointer = nearest(error.pointer, pointers);
    if (pointer === undefined) rest.push(error);
    else placed.set(pointer, [...(placed.get(pointer) ?? []), error.detail]);
  }
  return { placed, rest };
}

/** What an error is about, in words: a line of a file, or a field. */
export function placeOf({ line, pointer }) {
  return line ? `line ${line}` : pointer;
}

/** "a, b c" as ['a', 'b', 'c']. */
function splitList(text) {
  return text.split(/[\s,]+/).filter(Boolean);
}

/** A number where it looks like one; else the text, for the API to say what is wrong with it. */
function toNumber(text) {
  return /^\d+$/.test(text.trim()) ? Number(text) : text;
}

const CONVERT = { text: (text) => text.trim(), number: toNumber, list: splitList };

/** Puts a value at a JSON pointer of a document, making objects, and arrays for numbers. */
function setAt(document, pointer, value) {
  const keys = pointer.slice(1).split('/');
  let place = document;
  keys.slice(0, -1).forEach((key, i) => {
    place[key] ??= /^\d+$/.test(keys[i + 1]) ? [] : {};
    place = place[key];
  });
  place[keys.at(-1)] = value;
}

/** The document of fields [{pointer, type, value}]; empty ones are left out, for their defaults. */
export function buildDocument(fields) {
  const document = {};
  for (const { pointer, type, value } of fields) {
    if (value.trim() !== '') setAt(document, pointer, CONVERT[type](value));
  }
  return document;
}
