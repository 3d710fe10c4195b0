// Elements from data. Whatever comes from the API becomes text nodes and attributes, never markup:
// a model may be named `<script>`.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

/** An element; `null` and `false` children are left out, strings become text. */
export const h = (tag, attributes, ...children) =>
  fill(document.createElement(tag), attributes, children);

/** The same of SVG. */
export const g = (tag, attributes, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

export const byId = (id) => document.getElementById(id);

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);
const sameKind = (a, b) => a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

/**
 * Change `live` into `wanted` in place, so that focus, selection, scrolling and opened details
 * survive news. Keyed children are matched by key, the others by order.
 */
export function morph(live, wanted) {
  const keyed = new Map();
  for (const child of live.childNodes) if (keyOf(child)) keyed.set(keyOf(child), child);
  let cursor = live.firstChild;
  for (const next of [...wanted.childNodes]) {
    const key = keyOf(next);
    const match = key ? keyed.get(key) : cursor && sameKind(cursor, next) ? cursor : null;
    if (!match || !sameKind(match, next)) {
      live.insertBefore(next, cursor);
      continue;
    }
    keyed.delete(key);
    if (match === cursor) cursor = cursor.nextSibling;
    else live.insertBefore(match, cursor);
    if (match.nodeType === Node.TEXT_NODE) {
      if (match.data !== next.data) match.data = next.data;
    } else {
      morphAttributes(match, next);
      morph(match, next);
    }
  }
  while (cursor) {
    const after = cursor.nextSibling;
    cursor.remove();
    cursor = after;
  }
}

function morphAttributes(live, wanted) {
  // Whether details are open is the reader's choice.
  const ours = (name) => !(name === "open" && live.nodeName === "DETAILS");
  for (const { name } of [...live.attributes]) {
    if (ours(name) && !wanted.hasAttribute(name)) live.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (ours(name) && live.getAttribute(name) !== value) live.setAttribute(name, value);
  }
}
