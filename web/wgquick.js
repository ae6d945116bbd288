// What the page needs to know of a wg-quick file; the service reads it.

/** The line with its secret, if it has one, hidden. */
export function hideSecrets(line) {
  return line.replace(/^(\s*(?:PrivateKey|PresharedKey)\s*=\s*)\S.*$/i, '$1(hidden)');
}

/** The line that an error of the service is about, from 1; 0 = none. */
export function lineOf({ pointer = '', line, detail = '' }) {
  if (line) return line;
  const found = /^\/(?:lines?\/)?(\d+)/.exec(pointer) ?? /^line (\d+)\b/.exec(detail);
  return found ? Number(found[1]) : 0;
}
