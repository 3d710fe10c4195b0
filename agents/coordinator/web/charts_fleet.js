// Charts of many runs: a model's history, latency against size or energy, live readings.

import { g } from "./dom.js";
import { boxOf, chartWidth, colour, frame, line, linear, logarithmic, roomy } from "./charts.js";
import { change, day, clock, endOf, quantity, seconds, unitsOf } from "./format.js";
import { path } from "./parts.js";

const SECONDS = unitsOf("seconds");
// Letters of a name beside a point.
const LONGEST = 26;

/** Whether the verdict that is kept on a run says that something became different. */
export const isChange = ({ verdict }) => verdict?.verdict === "slower" || verdict?.verdict === "faster";

/** Whether it is known how the run's configuration follows the device's speed. */
export const isUsual = (run) => (run.p50_usual ?? null) !== null;

/** Series of runs over time; what became slower or faster is marked. */
export function historyChart(series) {
  const width = chartWidth();
  const height = 320;
  const box = boxOf(width, height, { left: 56 });
  const points = series.flatMap((each) => each.points).filter(({ run }) => run.p50 !== null);
  const times = points.map(({ run }) => Date.parse(endOf(run)));
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const pad = (last - first) * 0.03 || 60000;
  const across = linear(first - pad, last + pad, box.left, box.right);
  const bounds = points.flatMap(({ run }) => [run.p50_low ?? run.p50, run.p50_high ?? run.p50, run.p50_usual ?? run.p50]);
  const [low, high] = [Math.min(...bounds), Math.max(...bounds)];
  const up = high / low > 20 ? logarithmic(low / 1.3, high * 1.3, box.bottom, box.top)
    // Room for the marks and their words.
    : linear(...roomy(bounds, { share: 0.22 }), box.bottom, box.top);
  const short = last - first < 2 * 86400e3;
  const at = (run) => [across(Date.parse(endOf(run))), up(run.p50)];
  const marks = points.filter(isChange);
  const slower = marks.filter(({ verdict }) => verdict.verdict === "slower").length;
  return frame({ id: "history", title: "Median latency over time",
    description: `${points.length} runs, ${slower} slower than its baseline, ${marks.length - slower} faster`,
    width, height, box, up, units: SECONDS, labelUp: "p50 latency",
    across: Object.assign(across, { ticks: (n) => timeTicks(first, last, n) }),
    textAcross: (value) => (short ? clock(new Date(value)).slice(0, 5) : day(new Date(value))),
    hover: points.map(({ run, verdict }) => ({ x: at(run)[0], y: at(run)[1], text: [
      seconds(run.p50), isUsual(run) && `${seconds(run.p50_usual)} at the usual speed`, verdict && `${verdict.verdict}${verdict.ratio ? ` (${change(verdict.ratio.value)})` : ""}`,
      new Date(endOf(run)).toLocaleString("en-GB")].filter(Boolean) })) },
    series.map((each, index) => {
      const known = each.points.filter(({ run }) => run.p50 !== null);
      return [
        line(known.map(({ run }) => at(run)), { class: `stroke thin ${colour(index)}` }),
        usualLine(known, (run) => [at(run)[0], up(run.p50_usual)], colour(index)),
        known.map(({ run }) => {
          const [x, y] = at(run);
          return [
            run.p50_low !== null && known.length < 300 && g("line", { class: `whisker thin ${colour(index)}`, x1: x, x2: x, y1: up(run.p50_low), y2: up(run.p50_high) }),
            g("circle", { class: `dot link ${colour(index)}`, cx: x, cy: y, r: known.length > 150 ? 2 : 3.5, "data-to": path("runs", run.run_id) })];
        })];
    }),
    marks.map(({ run, verdict }) => {
      const [x, y] = at(run);
      const worse = verdict.verdict === "slower";
      return g("g", { class: worse ? "worse" : "better" },
        g("path", { d: worse ? `M${x - 6} ${y - 9}h12l-6 -10z` : `M${x - 6} ${y + 9}h12l-6 10z` }),
        marks.length <= 24 && g("text", { class: "verdict", x, y: worse ? y - 24 : y + 33, "text-anchor": "middle" }, change(verdict.ratio.value)));
    }));
}

function usualLine(points, at, name) {
  const found = points.filter(({ run }) => isUsual(run)).map(({ run }) => at(run));
  return found.length > 1 && line(found, { class: `stroke thin usual ${name}` });
}

const STEPS = [60e3, 5 * 60e3, 15 * 60e3, 3600e3, 3 * 3600e3, 6 * 3600e3, 12 * 3600e3, 86400e3,
  2 * 86400e3, 3 * 86400e3, 7 * 86400e3, 14 * 86400e3, 30 * 86400e3, 90 * 86400e3, 365 * 86400e3];

function timeTicks(first, last, n) {
  const step = STEPS.find((each) => (last - first) / each <= Math.max(3.7, n)) ?? STEPS[STEPS.length - 1];
  const shift = new Date(first).getTimezoneOffset() * 60e3;
  const found = [];
  for (let t = Math.ceil((first - shift) / step) * step + shift; t <= last; t += step) found.push(t);
  return found.length ? found : [first];
}

/** Those that no other beats in both. `points`: `{x, y}`, less is better. */
export function front(points) {
  const found = [];
  let least = Infinity;
  for (const point of [...points].sort((a, b) => a.x - b.x || a.y - b.y)) {
    if (point.y < least) {
      least = point.y;
      found.push(point);
    }
  }
  return found;
}

/** Latency against what it costs, both on log scales. `points`: `{x, y, group, name, run}`. */
export function scatter(points, { label, units, groups }) {
  const width = chartWidth();
  const height = 380;
  const box = boxOf(width, height, { left: 64, top: 28, right: 16 });
  const range = (values) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return high / low > 1.5 ? [low / 1.25, high * 1.25] : [low / 1.4, high * 1.4];
  };
  const across = logarithmic(...range(points.map((point) => point.x)), box.left, box.right);
  const up = logarithmic(...range(points.map((point) => point.y)), box.bottom, box.top);
  const best = front(points);
  let taken = [];
  return frame({ id: "pareto", title: `Latency against ${label.toLowerCase()}`,
    description: `${points.length} series; none is better in both than ${best.map((point) => point.name).slice(0, 8).join(", ")}`,
    width, height, box, across, up, units, unitsAcross: SECONDS, labelUp: label, labelAcross: "p50 latency",
    hover: points.map((point) => ({ x: across(point.x), y: up(point.y),
      text: [point.name, `${seconds(point.x)} · ${quantity(point.y, units)}`] })) },
    best.length > 1 && line(best.map((point) => [across(point.x), up(point.y)]), { class: "front" }),
    points.map((point) => g("circle", { class: `dot link ${groups.indexOf(point.group) < 0 ? "other" : colour(groups.indexOf(point.group))}`,
      cx: across(point.x), cy: up(point.y), r: points.length > 300 ? 3 : 5, "data-to": path("runs", point.run) })),
    // Those on the front first; the others where there is room.
    [...best, ...points.filter((point) => points.length <= 40 && !best.includes(point))].map((point) => {
      const [x, y] = [across(point.x), up(point.y)];
      const said = point.name.length > LONGEST ? `${point.name.slice(0, LONGEST - 1)}…` : point.name;
      const wide = said.length * 6.9;
      // To the right of its point or, where something else is there, to the left, or under it.
      const place = [[x + 9, y - 6], [x - wide - 9, y - 6], [x + 9, y + 15], [x - wide - 9, y + 15]]
        .map(([left, base]) => ({ left, base, right: left + wide }))
        .find((each) => each.left >= box.left && each.right <= box.right && each.base < box.bottom && !taken.some((other) => covers(each, other))
          && !points.some((other) => other !== point && isIn(each, across(other.x), up(other.y))));
      if (!place) return null;
      taken = [...taken, place];
      return g("text", { class: best.includes(point) ? "row" : "tick", x: place.left, y: place.base }, said);
    }));
}

const covers = (one, other) => Math.abs(one.base - other.base) < 14 && one.left < other.right && other.left < one.right;
const isIn = (place, x, y) => x > place.left - 5 && x < place.right + 5 && y > place.base - 16 && y < place.base + 7;

// Seconds that a live chart shows, and from mark to mark: as little as holds all of its readings.
const SPANS = [[30, 10], [60, 20], [120, 30], [300, 60]];

/** Readings of the last minutes. `lines`: `{label, points: [[milliseconds, value]]}`. */
export function liveChart(name, title, lines) {
  const width = chartWidth(0.5);
  const height = 150;
  const box = boxOf(width, height, { bottom: 24 });
  const times = lines.flatMap((each) => each.points.map(([at]) => at));
  const [first, now] = [Math.min(...times), Math.max(...times)];
  const [span, step] = SPANS.find(([each]) => (now - first) / 1000 <= each) ?? SPANS[SPANS.length - 1];
  const across = Object.assign(linear(-span, 0, box.left, box.right),
    { ticks: () => Array.from({ length: span / step + 1 }, (_, i) => -step * i) });
  const up = linear(...roomy(lines.flatMap((each) => each.points.map(([, value]) => value)), { zero: name.endsWith("ratio") }), box.bottom, box.top);
  const at = ([time, value]) => [across((time - now) / 1000), up(value)];
  return frame({ id: `live-${name}`, title, description: lines.map((each) => `${each.label} ${quantity(each.points.at(-1)[1], unitsOf(name))}`).join(", "),
    width, height, box, across, up, units: unitsOf(name), labelUp: title,
    textAcross: (value) => (value === 0 ? "now" : value % 60 === 0 ? `−${-value / 60} min` : `−${-value} s`),
    hover: lines.flatMap((each) => each.points.map((point) => ({ x: at(point)[0], y: at(point)[1],
      text: [quantity(point[1], unitsOf(name)), each.label] }))) },
    lines.map((each, index) => [
      line(each.points.map(at), { class: `stroke ${colour(index)}` }),
      each.points.length === 1 && g("circle", { class: `dot ${colour(index)}`, cx: at(each.points[0])[0], cy: at(each.points[0])[1], r: 3 })]));
}
