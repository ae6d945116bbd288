// What the page needs to know of a wg-quick file; the service reads it.

/** The line with its secret, if it has one, hidden. */
export function hideSecrets(line) {
  return line.replace(/^(\s*(?:PrivateKey|PresharedKey)\s*=\s*)\S.*$/i, '$1(hidden)');
}
