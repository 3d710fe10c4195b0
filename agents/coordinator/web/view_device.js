// One device: what it is, what it does, what its sensors say now, what was measured on it.

import { h } from "./dom.js";
import { bytes, clockWords, count, plural, quantity, unitsOf } from "./format.js";
import { badge, crumbs, facts, known, labels, pathWith, resultTable, runItem, section, when } from "./parts.js";
import { liveChart } from "./charts_fleet.js";
import { colour, legend } from "./charts.js";
import { title } from "./charts_run.js";

const MINUTES = 5;
const SHOWN = ["power_watts", "utilization_ratio", "temperature_celsius", "clock_hertz", "memory_used_bytes"];
const LINES = 8;

// Readings since this page was opened: nothing but the present is kept on the coordinator.
const seen = { device: null, readings: new Map() };

export const device = {
  title: "Device",
  nav: "#/devices",
  topic: ({ id }) => `device:${id}`,
  async load(calls, { id }) {
    const [view, runs] = await Promise.all([
      calls.get(`/api/v1/page/devices/${encodeURIComponent(id)}`),
      calls.get("/api/v1/page/runs", { device: id, limit: 12 })]);
    remember(view);
    return { view, runs };
  },
  changed: ({ running, queued }) => JSON.stringify([running?.id, queued]),
  live(data, view) {
    remember(view);
    return { ...data, view };
  },
  draw,
};

function remember({ device: { name }, readings }) {
  if (seen.device !== name) {
    seen.device = name;
    seen.readings.clear();
  }
  const now = Date.now();
  for (const { quantity: what, label, value } of readings) {
    if (!SHOWN.includes(what)) continue;
    const lines = seen.readings.get(what) ?? new Map();
    const line = (lines.get(label) ?? []).filter(([at]) => at > now - 60000 * MINUTES);
    lines.set(label, [...line, [now, value]]);
    seen.readings.set(what, lines);
  }
}

function draw({ view, runs }) {
  const { device: it, running, queued } = view;
  return [
    crumbs(h("a", { href: "#/devices" }, "Fleet"), it.name),
    h("h1", {}, it.name, " ", badge(it.state)),
    it.state_reason && h("p", { class: "reason" }, it.state_reason),
    clockNote(runs.runs[0]),
    h("div", { class: "columns" },
      section("Now",
        running ? h("ul", { class: "runs" }, runItem(running)) : h("p", {}, "Nothing is measured."),
        h("p", { class: "muted" }, queued > 0 ? `${plural(queued, "run")} waiting` : "Nothing waits for it.")),
      runtimesCard(it.inventory),
      description(it)),
    telemetry(view),
    h("section", { "data-key": "runs" },
      h("div", { class: "head" }, h("h2", {}, "Latest results"),
        runs.total > 0 && h("a", { href: pathWith("compare", { device: it.name }) }, "compare its models"),
        runs.total > runs.runs.length && h("a", { href: pathWith("results", { device: it.name }) }, `all ${count(runs.total)}`)),
      runs.runs.length > 0 ? resultTable(`Results of ${it.name}`, runs.runs)
        : h("p", { class: "empty card" }, "Nothing has been measured here yet. ", h("a", { href: pathWith("submit", { devices: it.name }) }, "Submit a model"), " for it.")),
  ].filter(Boolean);
}

/** By its latest result: an earlier one tells of a clock that may have been set since. */
function clockNote(latest) {
  const wrong = clockWords(latest?.clock_offset_seconds);
  return wrong && h("p", { class: "reason" }, `The clock is wrong: by the latest result ${wrong}, or more. `,
    "Latencies do not rest on it, and when runs ended is told by the coordinator's clock. NTP sets it right: ",
    h("code", {}, "timedatectl set-ntp true"), ".");
}

function description(it) {
  const { inventory } = it;
  return section("What it is", facts(
    ["Kind", [inventory.kind, inventory.board && ` · ${inventory.board}`]],
    ["CPU", `${inventory.cpu_model} · ${plural(inventory.cpu_count, "core")} · ${inventory.machine}`],
    ["Memory", known(inventory.memory_total_bytes, bytes, "The device does not tell.")],
    ["Accelerators", inventory.accelerators.join(", ") || "none"],
    ["Energy", inventory.energy_sources.length ? inventory.energy_sources.join(", ")
      : h("span", { class: "muted" }, inventory.energy_reason ?? "no source")],
    Object.keys(it.labels).length > 0 && ["Labels", labels(it.labels)],
    ["Address", h("code", {}, it.address)],
    ["Software", `fleetmark ${it.versions.fleetmark} · Python ${it.versions.python} · Ray ${it.versions.ray}`],
    ["Registered", when(it.registered_at)],
    ["Last seen", it.last_seen_at ? when(it.last_seen_at) : "never"]));
}

const runtimesCard = (inventory) => section("Runtimes",
  h("ul", { class: "plain" }, inventory.runtimes.map(({ runtime, version, reason, remedy }) => version !== null
    ? h("li", {}, runtime, " ", h("span", { class: "muted" }, version))
    : h("li", { class: "absent" }, h("details", {}, h("summary", {}, runtime, " ", h("span", { class: "muted" }, "not usable")),
      h("p", {}, reason ?? "The device gave no reason."), remedy && h("p", { class: "advice" }, remedy))))));

function telemetry({ readings, readings_reason: reason, device: { name } }) {
  const kept = seen.device === name ? seen.readings : new Map();
  const shown = SHOWN.filter((what) => kept.has(what));
  return h("section", { class: "card", "data-key": "telemetry" }, h("h2", {}, "Sensors now"),
    readings.length === 0 && h("p", { class: "muted" }, reason),
    shown.length > 0 && h("div", { class: "pair" }, shown.map((what) => {
      const every = [...kept.get(what)].map(([label, points]) => ({ label, points }));
      const lines = every.slice(0, LINES);
      return h("figure", { "data-key": what },
        liveChart(what, title(what), lines, MINUTES),
        legend(lines.map((line, index) => ({ mark: colour(index),
          name: `${line.label || "device"} ${quantity(line.points.at(-1)[1], unitsOf(what))}` }))),
        every.length > LINES && h("p", { class: "muted small" }, `${every.length - LINES} further lines are not drawn.`));
    })));
}
