// Reads text/event-stream (WHATWG HTML, "Server-sent events", parsing), in pieces of any size.
// EventSource cannot send a token; fetch can.

export class SseParser {
  #rest = '';
  #afterReturn = false;
  #data = [];
  #event = '';
  lastId = '';

  /** Takes a piece; the messages {event, data, id} that it completes. */
  push(text) {
    const messages = [];
    let piece = text;
    // A line may end with "\r\n", and a piece between the two.
    if (this.#afterReturn && piece.startsWith('\n')) piece = piece.slice(1);
    if (text !== '') this.#afterReturn = text.endsWith('\r');
    const lines = (this.#rest + piece).split(/\r\n|\n|\r/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line !== '') this.#takeField(line);
      else if (this.#data.length > 0) messages.push(this.#finish());
      else this.#event = '';
    }
    return messages;
  }

  #takeField(line) {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'data') this.#data.push(value);
    else if (name === 'event') this.#event = value;
    else if (name === 'id' && !value.includes('\0')) this.lastId = value;
  }

  #finish() {
    const message = { event: this.#event || 'message', data: this.#data.join('\n'), id: this.lastId };
    this.#data = [];
    this.#event = '';
    return message;
  }
}
