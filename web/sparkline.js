// A line of the last samples of one or two meters, with its text alternative.
import { setAttribute, svg } from './dom.js';
import { formatRate } from './format.js';
import { linePoints } from './series.js';

const WIDTH = 120;
const HEIGHT = 24;

/** names: what each meter measures, as "in" and "out". */
export function createSparkline(names) {
  const lines = names.map((name, i) => svg('polyline', { class: `series-${i}`, fill: 'none' }));
  const element = svg(
    'svg',
    { class: 'sparkline', role: 'img', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none' },
    lines,
  );
  function update(meters) {
    meters.forEach((meter, i) => {
      setAttribute(lines[i], 'points', meter.samples.length > 1 ? linePoints(meter.samples, WIDTH, HEIGHT) : '');
    });
    setAttribute(element, 'aria-label', describe(names, meters));
  }
  return { element, update };
}

function describe(names, meters) {
  if (meters[0].samples.length < 2) return 'not enough samples yet';
  const parts = meters.map((meter, i) => {
    const highest = Math.max(...meter.samples);
    return `${names[i]} ${formatRate(meter.rate)}, highest ${formatRate(highest)}`;
  });
  return `the last ${meters[0].samples.length} samples: ${parts.join('; ')}`;
}
