// Making and updating elements. Text from outside only ever becomes text nodes and attributes.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else {
      element.setAttribute(name, value === true ? '' : value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** el('p', {class: 'x', on: {click}}, 'text', child…): an element. */
export function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

/** Sets the text only where it differs, so that a selection and assistive software are left alone. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

/**
 * Makes the children of parent those of items, in their order. A child is made by create(item),
 * kept as long as its key is there, and given each new item through child.update(item).
 */
export function reconcile(parent, items, keyOf, create) {
  const present = (parent.keyed ??= new Map());
  const wanted = new Set(items.map(keyOf));
  for (const [key, child] of present) {
    if (wanted.has(key)) continue;
    child.element.remove();
    present.delete(key);
  }
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let child = present.get(key);
    if (!child) {
      child = create(item);
      present.set(key, child);
    }
    child.update(item);
    if (child.element === place) place = place.nextElementSibling;
    else parent.insertBefore(child.element, place);
  }
}

const ICONS = {
  copy: ['M5.5 5.5h7v8h-7z', 'M3.5 10.5v-8h7'],
  curl: ['M2.5 4.5l4 3.5-4 3.5', 'M8.5 12h5'],
  pause: ['M5.5 3.5v9', 'M10.5 3.5v9'],
  play: ['M5 3.5l7 4.5-7 4.5z'],
  delete: ['M3 4.5h10', 'M6.5 4.5v-2h3v2', 'M4.5 4.5l.6 9h5.8l.6-9'],
};

/** A button that shows an icon and says its label. */
export function iconButton(icon, label, onClick) {
  const button = el('button', { type: 'button', class: 'icon', on: { click: onClick } });
  button.append(drawIcon(icon));
  labelButton(button, label);
  return button;
}

function drawIcon(icon) {
  return svg('svg', { viewBox: '0 0 16 16', 'aria-hidden': 'true' }, ICONS[icon].map((d) => svg('path', { d })));
}

export function labelButton(button, label) {
  setAttribute(button, 'aria-label', label);
  setAttribute(button, 'title', label);
}

/** A button for what a person may not change here, as the title says. */
export function lockButton(button, isLocked) {
  button.disabled = isLocked;
  if (isLocked) setAttribute(button, 'title', 'It comes from a file: change it there');
}

export function changeIcon(button, icon) {
  if (button.dataset.icon === icon) return;
  button.dataset.icon = icon;
  button.replaceChildren(drawIcon(icon));
}
