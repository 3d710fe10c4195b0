// Charts of one run: latency over its iterations, what sensors read meanwhile, the distribution.

import { g, h } from "./dom.js";
import { boxOf, chartWidth, colour, frame, legend, line, linear, roomy } from "./charts.js";
import { count, plural, quantity, seconds, unitsOf, words } from "./format.js";

const SECONDS = unitsOf("seconds");

/** All of the values, unless a few lie far above the others: twice the range of the lower 99 %. */
function visible(buckets) {
  const lows = buckets.map((bucket) => bucket.low);
  const highs = buckets.map((bucket) => bucket.high).sort((a, b) => a - b);
  const low = Math.min(...lows);
  const bulk = highs[Math.floor((highs.length - 1) * 0.97)];
  const high = bulk > low ? Math.min(highs[highs.length - 1], low + 2 * (bulk - low)) : highs[highs.length - 1];
  const room = 0.06 * (high - low) || 0.05 * high || 1e-9;
  return [Math.max(0, low - room), high + room];
}

export function overTime(chart) {
  const { buckets, stretches } = chart;
  const width = chartWidth();
  const height = 270;
  const box = boxOf(width, height, { top: 34 });
  const [low, high] = visible(buckets);
  const up = linear(low, high, box.bottom, box.top);
  const end = stretches[stretches.length - 1].end;
  const across = linear(0, end || 1e-9, box.left, box.right);
  const above = buckets.filter((bucket) => bucket.high > high);
  const longest = Math.max(...buckets.map((bucket) => bucket.high));
  const each = chart.iterations <= buckets.length;
  const clip = (value) => Math.max(box.top, up(value));
  const path = buckets.map((bucket) => {
    const x = across(bucket.at).toFixed(1);
    return `M${x} ${(clip(bucket.low) + 0.7).toFixed(1)}V${(clip(bucket.high) - 0.7).toFixed(1)}`;
  }).join("");
  return [
    frame({ id: "over-time", title: "Latency over the iterations",
      description: `${plural(chart.iterations, "iteration")} in ${plural(stretches.length, "repetition")}, the longest ${seconds(longest)}`,
      width, height, box, across, up, units: SECONDS, unitsAcross: SECONDS,
      labelUp: "Latency", labelAcross: "Time, without the pauses between repetitions",
      hover: buckets.map((bucket) => ({ x: across(bucket.at), y: clip(bucket.median), text: [
        `${seconds(bucket.median)}${each ? "" : " median"}`,
        !each && `${seconds(bucket.low)} – ${seconds(bucket.high)}`,
        `at ${seconds(bucket.at)}`].filter(Boolean) })) },
      stretches.map((stretch) => [
        g("rect", { class: "warm", x: across(stretch.start), y: box.top, height: box.bottom - box.top,
          width: Math.max(0, across(stretch.warmup_end) - across(stretch.start)) }),
        stretch.start > 0 && g("line", { class: "apart", x1: across(stretch.start), x2: across(stretch.start), y1: box.top, y2: box.bottom }),
        stretches.length > 1 && stretches.length <= 12 && g("text", { class: "tick", "text-anchor": "middle",
          x: (across(stretch.start) + across(stretch.end)) / 2, y: box.top - 6 }, `${stretch.index + 1}`)]),
      g("path", { class: "range", d: path }),
      each ? buckets.filter((bucket) => bucket.median <= high).map((bucket) =>
        g("circle", { class: "dot c0", cx: across(bucket.at), cy: up(bucket.median), r: buckets.length > 400 ? 1.2 : 2 }))
        : line(buckets.map((bucket) => [across(bucket.at), clip(bucket.median)]), { class: "stroke c0" }),
      above.length > 0 && g("text", { class: "name", x: box.right, y: 13, "text-anchor": "end" },
        `▲ ${width > 480 ? `cut off at ${seconds(high, 2)}; ` : ""}the longest took ${seconds(longest, 3)}`)),
    legend([
      { name: each ? "one iteration" : "median of neighbouring iterations, and from the shortest to the longest", mark: "c0" },
      stretches.some((stretch) => stretch.warmup_end > stretch.start) && { name: "warm-up, not counted", mark: "warm" },
    ].filter(Boolean)),
  ];
}

/** One strip per quantity, under the latencies and on their time axis. */
export function traces(chart) {
  if (chart.traces.length === 0) return h("p", { class: "muted" }, chart.traces_reason ?? "No sensor was read.");
  const groups = new Map();
  for (const trace of chart.traces) groups.set(trace.quantity, [...(groups.get(trace.quantity) ?? []), trace]);
  const end = chart.stretches[chart.stretches.length - 1].end;
  const width = chartWidth();
  return [...groups].map(([name, lines], place) => {
    const last = place === groups.size - 1;
    const height = last ? 136 : 106;
    const box = boxOf(width, height, { bottom: last ? 40 : 10 });
    const up = linear(...roomy(lines.flatMap((each) => each.values)), box.bottom, box.top);
    const across = linear(0, end, box.left, box.right);
    const said = title(name);
    return [
      frame({ id: `trace-${name}`, title: said, description: `${plural(lines.length, "sensor")} while the run lasted`,
        width, height, box, across, up, units: unitsOf(name), unitsAcross: SECONDS, labelUp: said, bare: !last,
        labelAcross: last ? "Time, as above" : null,
        hover: lines.flatMap((each) => each.at.map((at, i) => ({ x: across(at), y: up(each.values[i]),
          text: [quantity(each.values[i], unitsOf(name)), each.label, `at ${seconds(at)}`] }))) },
        lines.map((each, index) => line(each.at.map((at, i) => [across(at), up(each.values[i])]), { class: `stroke ${colour(index)}` }))),
      lines.length > 1 && legend(lines.map((each, index) => ({ name: each.label, mark: colour(index) }))),
    ];
  });
}

export const title = (name) => {
  const text = words(name.split("_").slice(0, -1).join("_") || name);
  return text[0].toUpperCase() + text.slice(1);
};

export function distribution({ histogram }, latency) {
  const width = chartWidth(0.5);
  const height = 250;
  const box = boxOf(width, height, { left: 46, top: 40 });
  const { edges, counts } = histogram;
  const across = linear(edges[0], edges[edges.length - 1], box.left, box.right);
  const up = linear(0, Math.max(...counts) * 1.04, box.bottom, box.top);
  const marks = [["p50", latency.p50], ["p90", latency.p90], ["p99", latency.p99]]
    .filter(([, found]) => found && found.value <= edges[edges.length - 1]);
  let last = -Infinity;
  return frame({ id: "distribution", title: "Distribution of the latency",
    description: marks.map(([name, found]) => `${name} ${seconds(found.value)}`).join(", "),
    width, height, box, across, up, units: [[1, ""]], unitsAcross: SECONDS,
    labelUp: "Iterations", labelAcross: "Latency",
    hover: counts.map((n, i) => ({ x: across((edges[i] + edges[i + 1]) / 2), y: up(n),
      text: [plural(n, "iteration"), `${seconds(edges[i])} – ${seconds(edges[i + 1])}`] })) },
    counts.map((n, i) => n > 0 && g("rect", { class: "bar c0", x: across(edges[i]) + 0.5, y: Math.min(up(n), box.bottom - 1),
      width: Math.max(0.5, across(edges[i + 1]) - across(edges[i]) - 1), height: Math.max(1, box.bottom - up(n)) })),
    marks.map(([name, found]) => {
      const x = across(found.value);
      const free = x - last > 34;
      if (free) last = x;
      return [g("line", { class: "level", x1: x, x2: x, y1: box.top - 4, y2: box.bottom }),
        free && g("text", { class: "name", x, y: box.top - 10, "text-anchor": x > box.right - 20 ? "end" : "middle" }, name)];
    }),
    histogram.beyond > 0 && g("text", { class: "name", x: box.right, y: 13, "text-anchor": "end" },
      `${count(histogram.beyond)} further, up to ${seconds(histogram.longest, 3)} ▸`));
}

/** Values with their intervals, one under the other. `rows`: `{name, value, low, high, mark}`. */
export function whiskers(id, title, rows, { width = chartWidth(0.5), units = SECONDS, label = "Latency", at = null } = {}) {
  const left = Math.min(150, 12 + 7 * Math.max(...rows.map((row) => row.name.length)));
  const height = 44 + 30 * rows.length;
  const box = boxOf(width, height, { left, top: 6, right: 16 });
  const values = rows.flatMap((row) => [row.low ?? row.value, row.high ?? row.value, row.value]).concat(at ?? []);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low) * 0.12 || high * 0.02;
  const across = linear(low - room, high + room, box.left, box.right);
  const [size, unit] = units.find(([s]) => high >= s) ?? units[units.length - 1];
  const y = (index) => box.top + 30 * index + 17;
  return g("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "data-key": id,
    "aria-label": `${title}. ${rows.map((row) => `${row.name} ${quantity(row.value, units)}`).join(", ")}` },
    across.ticks(Math.max(3, Math.floor((box.right - box.left) / 80)), size).map((value) => [
      g("line", { class: "grid", x1: across(value), x2: across(value), y1: box.top, y2: box.bottom }),
      g("text", { class: "tick", x: across(value), y: box.bottom + 18, "text-anchor": "middle" },
        new Intl.NumberFormat("en", { maximumSignificantDigits: 5 }).format(value / size))]),
    g("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }),
    at !== null && g("line", { class: "level", x1: across(at), x2: across(at), y1: box.top, y2: box.bottom }),
    g("text", { class: "name", x: box.right, y: box.bottom + 34, "text-anchor": "end" }, unit ? `${label} (${unit})` : label),
    rows.map((row, index) => [
      g("text", { class: "row", x: left - 12, y: y(index) + 4, "text-anchor": "end" }, row.name),
      row.low !== null && g("line", { class: `whisker ${row.mark ?? "c0"}`, x1: across(row.low), x2: across(row.high), y1: y(index), y2: y(index) }),
      g("circle", { class: `dot ${row.mark ?? "c0"}`, cx: across(row.value), cy: y(index), r: 5 })]));
}
