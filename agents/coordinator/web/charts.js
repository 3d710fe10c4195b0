// The frame of every chart: scales, axes, grid, legend, and what the pointer shows. SVG by hand: no
// library that a content policy must be loosened for, and text that a screen reader finds.

import { g, h } from "./dom.js";
import { number, unitFor } from "./format.js";

export const COLOURS = 8;
export const colour = (index) => `c${index % COLOURS}`;

/** Width of a chart in the card that it is drawn in; `part` of the page's width on a wide screen. */
export function chartWidth(part = 1) {
  const room = Math.min(document.documentElement.clientWidth, 1344);
  const page = room - (room <= 704 ? 28 : 40);
  return Math.max(260, Math.floor((room > 940 ? page * part - (part < 1 ? 8 : 0) : page) - 38));
}

// --- scales ----------------------------------------------------------------------------------

export function linear(low, high, from, to) {
  const span = high - low || 1;
  const scale = (value) => from + ((value - low) / span) * (to - from);
  return Object.assign(scale, { low, high, ticks: (n, size = 1) => evenTicks(low / size, high / size, n).map((tick) => tick * size) });
}

export function logarithmic(low, high, from, to) {
  const [a, b] = [Math.log10(low), Math.log10(high)];
  const scale = (value) => from + ((Math.log10(value) - a) / (b - a || 1)) * (to - from);
  return Object.assign(scale, { low, high, ticks: (n, size = 1) => logTicks(low / size, high / size, n).map((tick) => tick * size) });
}

function evenTicks(low, high, n) {
  const raw = (high - low) / Math.max(1, n);
  const power = 10 ** Math.floor(Math.log10(raw || 1));
  const steps = [0.5, 1, 2, 5, 10].map((m) => m * power);
  const wanted = steps.findIndex((s) => s >= raw * 0.999);
  const multiples = (step) => {
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) found.push(k * step || 0);
    return found;
  };
  const found = multiples(steps[wanted]);
  // One number alone is no scale.
  return found.length < 2 && wanted > 0 ? multiples(steps[wanted - 1]) : found;
}

function logTicks(low, high, n) {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const within = (mantissas) => {
    const found = [];
    for (let k = first; k <= last; k += 1) for (const m of mantissas) found.push(m * 10 ** k);
    return found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
  };
  const sets = [[1, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]].map(within);
  const found = sets.find((ticks) => ticks.length >= 2 && ticks.length <= n + 1);
  if (found) return found;
  return sets[0].length < 2 ? evenTicks(low, high, n) : sets[3].filter((_, i, all) => i % Math.ceil(all.length / n) === 0);
}

/** A little more than the range of the values, from 0 if that is near. */
export function roomy(values, { zero = false, share = 0.08 } = {}) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [0, 1];
  const room = (high - low) * share || Math.abs(high) * 0.05 || 1;
  return [zero || low < (high - low) * 0.3 ? Math.min(0, low) : low - room, high + room];
}

// --- the frame -------------------------------------------------------------------------------

const hovers = new Map();

/**
 * A chart with its axes.
 *
 * `up` and `across`: scales; `units` of the y axis and `unitsAcross` of the x axis, or `textAcross`,
 * which makes the words of a tick; `bare` leaves those words out. `hover`: points `{x, y, text}` for the pointer. `description` is
 * what who does not see the picture is told.
 */
export function frame({ id, title, description, width, height, box, across, up, units, unitsAcross,
  textAcross, labelUp, labelAcross, hover, bare }, ...children) {
  if (hover) hovers.set(id, { points: hover, box, width });
  const [size, unit] = unitFor(Math.max(Math.abs(up.low), Math.abs(up.high)) || 1, units);
  const sideTicks = up.ticks(Math.max(2, Math.floor((box.bottom - box.top) / 44)), size);
  const most = Math.max(2, Math.floor((box.right - box.left) / 90));
  const [sizeAcross, unitAcross] = unitsAcross ? unitFor(across.high || 1, unitsAcross) : [1, ""];
  const below = textAcross ?? ((value) => number(value / sizeAcross));
  const name = [labelUp, unit && `(${unit})`].filter(Boolean).join(" ");
  const nameAcross = [labelAcross, unitAcross && `(${unitAcross})`].filter(Boolean).join(" ");
  return g("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "data-chart": hover ? id : false, "data-key": id, "aria-label": `${title}. ${description}` },
    sideTicks.map((value) => [
      g("line", { class: "grid", x1: box.left, x2: box.right, y1: up(value), y2: up(value) }),
      g("text", { class: "tick", x: box.left - 8, y: up(value) + 4, "text-anchor": "end" },
        number(value / size))]),
    across.ticks(most, sizeAcross).map((value) => [
      g("line", { class: "mark", x1: across(value), x2: across(value), y1: box.bottom, y2: box.bottom + 4 }),
      !bare && g("text", { class: "tick", x: across(value), y: box.bottom + 18, "text-anchor": "middle" }, below(value))]),
    g("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }),
    name && g("text", { class: "name", x: 0, y: 13 }, name),
    labelAcross && g("text", { class: "name", x: box.right, y: box.bottom + 36, "text-anchor": "end" }, nameAcross),
    children,
    hover && g("circle", { class: "cursor", r: 4, visibility: "hidden" }));
}

export const boxOf = (width, height, { left = 52, right = 10, top = 26, bottom = 42 } = {}) =>
  ({ left, right: width - right, top, bottom: height - bottom });

export const legend = (entries) =>
  h("ul", { class: "legend" }, entries.map(({ name, mark }) =>
    h("li", {}, h("span", { class: `swatch ${mark}`, "aria-hidden": "true" }), name)));

export const line = (points, attributes) =>
  g("path", { ...attributes, fill: "none", d: points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("") });

// --- the pointer -----------------------------------------------------------------------------

const tip = h("div", { class: "tip", "aria-hidden": "true", hidden: true });

function nearest({ points }, x, y) {
  let found = null;
  let least = Infinity;
  for (const point of points) {
    // Along the axis first: who looks at a time wants what was then.
    const far = Math.abs(point.x - x) + 0.35 * Math.abs(point.y - y);
    if (far < least) [least, found] = [far, point];
  }
  return least < 60 ? found : null;
}

export function followPointer() {
  document.body.append(tip);
  document.addEventListener("pointermove", (event) => {
    const svg = event.target.closest?.("svg[data-chart]");
    const chart = svg && hovers.get(svg.dataset.chart);
    if (!chart) return hide();
    const rect = svg.getBoundingClientRect();
    const scale = chart.width / rect.width;
    const point = nearest(chart, (event.clientX - rect.left) * scale, (event.clientY - rect.top) * scale);
    if (!point) return hide();
    for (const cursor of document.querySelectorAll("circle.cursor")) {
      cursor.setAttribute("visibility", cursor.closest("svg") === svg ? "visible" : "hidden");
      cursor.setAttribute("cx", point.x);
      cursor.setAttribute("cy", point.y);
    }
    tip.replaceChildren(...point.text.map((text) => h("div", {}, text)));
    tip.hidden = false;
    const left = rect.left + point.x / scale;
    tip.style.left = `${Math.max(8, Math.min(left + 12, document.documentElement.clientWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(8, rect.top + point.y / scale - tip.offsetHeight - 10)}px`;
    return undefined;
  });
  document.addEventListener("click", (event) => {
    const to = event.target.closest?.("[data-to]");
    if (to) location.hash = to.dataset.to;
  });
}

export function hide() {
  tip.hidden = true;
  for (const cursor of document.querySelectorAll("circle.cursor")) cursor.setAttribute("visibility", "hidden");
}
