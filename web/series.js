// Rates from counters, and the last samples of them.

export const SAMPLES = 60;

/** Readings that are closer than this, in milliseconds, say more of their moment than of the rate. */
const APART_MS = 1000;

/** Turns readings of a counter that only grows into a rate per second and its last samples. */
export class Meter {
  #samples = [];
  #value;
  #time;

  /** A reading at a time in milliseconds. A counter that fell was started again from zero. */
  read(value, time) {
    if (this.#time !== undefined) {
      if (time - this.#time < APART_MS) return;
      const grown = value >= this.#value ? value - this.#value : value;
      this.#samples.push((grown * 1000) / (time - this.#time));
      if (this.#samples.length > SAMPLES) this.#samples.shift();
    }
    this.#value = value;
    this.#time = time;
  }

  get rate() {
    return this.#samples.at(-1) ?? 0;
  }

  get samples() {
    return this.#samples;
  }
}

/** The points of a line through samples, newest at the right, in a box of width × height. */
export function linePoints(samples, width, height) {
  const highest = Math.max(...samples, 1);
  const step = width / (SAMPLES - 1);
  const left = width - step * (samples.length - 1);
  return samples
    .map((sample, i) => {
      const y = height - 1 - (sample / highest) * (height - 2);
      return `${(left + i * step).toFixed(1)},${y.toFixed(1)}`;
    })
    .join(' ');
}
