// One run: its figures, its raw data as charts, and all that the result knows.

import { h } from "./dom.js";
import { clockWords, count, joules, number, plural, seconds, words } from "./format.js";
import { badge, crumbs, deviceLink, errorText, facts, flagList, known, path, pathWith, percentile, runItem, section, shortJob, table, tile, when, why } from "./parts.js";
import { distribution, overTime, traces, whiskers } from "./charts_run.js";
import { environmentCard, energyCard, memoryCard, modelCard, peakMemory, repetitionsCard, sensorsCard, speedCard, throttlingCard } from "./run_cards.js";

// The chart of a run never changes: asked for once.
const charts = new Map();

export const run = {
  title: "Run",
  nav: "#/results",
  topic: ({ id }) => `run:${id}`,
  async load(calls, { id }) {
    const view = await calls.get(`/api/v1/page/runs/${encodeURIComponent(id)}`);
    return { ...view, chart: await chartOf(calls, view) };
  },
  changed: ({ run: it }) => it.state,
  live: (data, view) => ({ ...view, chart: data?.chart ?? null }),
  draw: (data) => (data.result ? drawResult(data) : drawWaiting(data.run)),
};

async function chartOf(calls, { run: it, result }) {
  if (!result || !result.latency) return null;
  if (!charts.has(it.id)) {
    try {
      if (charts.size > 20) charts.clear();
      charts.set(it.id, await calls.get(`/api/v1/page/runs/${encodeURIComponent(it.id)}/chart`));
    } catch (error) {
      // The figures stand without the picture; why there is none is said in its place.
      if (!error.problem) throw error;
      return { problem: `${error.problem.problem}.` };
    }
  }
  return charts.get(it.id);
}

const drawWaiting = (it) => [
  crumbs(h("a", { href: path("jobs", it.job_id) }, "Job"), shortJob(it.id)),
  h("h1", {}, it.spec.model.name, h("span", { class: "on" }, " on "), deviceLink(it.device)),
  h("div", { class: "card" }, h("ul", { class: "runs" }, runItem(it))),
  h("p", { class: "muted" }, "The figures come when the run is over. ",
    h("a", { href: path("jobs", it.job_id) }, "Its job"), "."),
];

function drawResult({ result: it, run: { finished_at: received }, clock_offset_seconds: offset, chart }) {
  const drawn = chart && !chart.problem && chart.iterations > 0;
  return [
    crumbs(h("a", { href: "#/results" }, "Results"), shortJob(it.run_id)),
    h("h1", {}, it.model, h("span", { class: "on" }, " on "), deviceLink(it.device), " ", badge(it.status)),
    h("p", { class: "muted" }, summary(it, offset === null ? it.finished_at : received, clockWords(offset))),
    it.error && errorCard(it.error),
    it.status === "succeeded" && tiles(it),
    it.status === "succeeded" && h("p", { class: "links" },
      h("a", { href: pathWith("history", { device: it.device, model: it.model }) }, "its history"),
      h("a", { href: pathWith("results", { model: it.model, status: "succeeded" }) }, "other runs of the model"),
      h("a", { href: pathWith("compare", { baseline: it.run_id }) }, "compare with another")),
    it.flags.length > 0 && section("Flags", flagList(it.flags)),
    drawn && h("section", { class: "card", "data-key": "over-time" },
      h("h2", {}, "Latency over the iterations"), overTime(chart), h("h3", {}, "What the sensors read meanwhile"), traces(chart),
      chart.traces_left_out > 0 && h("p", { class: "muted" }, `${plural(chart.traces_left_out, "further sensor")} not drawn; the raw data have all.`)),
    chart?.problem && h("section", { class: "card" }, h("h2", {}, "Latency over the iterations"), h("p", { class: "muted" }, chart.problem)),
    h("div", { class: "columns" },
      drawn && chart.histogram && it.latency && section("Distribution", distribution(chart, it.latency)),
      it.latency && latencyCard(it.latency),
      it.repetitions.length > 0 && repetitionsCard(it.repetitions),
      it.memory && memoryCard(it.memory),
      it.energy && energyCard(it.energy),
      it.status === "succeeded" && throttlingCard(it),
      it.status === "succeeded" && speedCard(it),
      sensorsCard(it),
      modelCard(it),
      environmentCard(it),
      rawCard(it)),
  ].filter(Boolean);
}

const summary = (it, end, clockIs) => [
  [`${it.runtime} ${it.runtime_version ?? ""}`.trim(), it.precision, `batch ${it.batch_size}`,
    it.accelerator, it.threads && plural(it.threads, "thread"), words(it.scenario)]
    .filter(Boolean).join(" · "),
  " · ended ", when(end), clockIs && h("strong", { class: "wrong" }, ` (${clockIs})`),
  it.job_id && [" · ", h("a", { href: path("jobs", it.job_id) }, "its job")],
];

const errorCard = (error) =>
  h("section", { class: "card failure" }, h("h2", {}, words(error.kind)), h("p", {}, errorText(error).slice(2)),
    error.stderr_tail && h("details", {}, h("summary", {}, "What the worker wrote last"),
      h("pre", {}, error.stderr_tail)));

function tiles(it) {
  const { latency } = it;
  return h("dl", { class: "tiles" },
    tile("p50, 95 % interval", latency ? percentile(latency, "p50") : why(it.latency_reason)),
    tile("p99", latency ? percentile(latency, "p99") : why(it.latency_reason)),
    tile("Items per second", known(it.throughput_items_per_second, (value) => number(value), it.latency_reason)),
    tile("Peak memory", peakMemory(it)),
    tile("Energy per item", known(it.energy?.headline, ({ joules_per_item: value, provenance }) =>
      [joules(value), h("small", {}, provenance.scope)], it.energy_reason)));
}

const NAMES = { p50: "p50", p90: "p90", p95: "p95", p99: "p99", p999: "p99.9" };

function latencyCard(latency) {
  const rows = Object.entries(NAMES).map(([name, shown]) => {
    const found = latency[name];
    return { key: name, cells: found
      ? [shown, ...percentileCells(found)]
      : [shown, { span: 2, content: h("span", { class: "muted name" }, latency[`${name}_reason`] ?? "not known") }] };
  });
  const drawn = Object.entries(NAMES).filter(([name]) => latency[name])
    .map(([name, shown]) => ({ name: shown, ...latency[name] }));
  return section("Percentiles",
    drawn.length > 1 && whiskers("percentiles", "Percentiles with their intervals", drawn),
    table("Percentiles", ["Percentile", "#Value", "#95 % interval"], rows),
    facts(
      ["Mean", seconds(latency.mean)],
      ["Minimum and maximum", `${seconds(latency.minimum)} – ${seconds(latency.maximum)}`],
      ["Median absolute deviation", seconds(latency.median_absolute_deviation)],
      ["Iterations", `${count(latency.n)}, worth ${number(latency.n_effective, 3)} independent ones`],
      ["Outliers", `${count(latency.outliers)}, tagged and kept`]));
}

function percentileCells(found) {
  const [value, interval] = percentile({ p: found }, "p");
  return [value, interval.textContent];
}

const RAW = [["iterations", "every iteration"], ["blocks", "the blocks they were timed in, and what the kernel counted"],
  ["sentinel", "the sentinel"], ["trace", "what the sensors read"]];

const rawCard = (it) => section("Raw data",
  h("p", { class: "muted" }, "Parquet, which pandas and DuckDB open; the result is JSON."),
  h("ul", { class: "plain downloads" },
    h("li", {}, downloadButton(`/api/v1/runs/${it.run_id}`, `${it.run_id}.json`, "result"), h("span", { class: "muted" }, "all that this page shows")),
    it.latency && RAW.map(([name, what]) => h("li", {},
      downloadButton(`/api/v1/runs/${it.run_id}/${name}`, `${it.run_id}.${name}.parquet`, name), h("span", { class: "muted" }, what)))));

const downloadButton = (from, name, text) =>
  h("button", { type: "button", class: "quiet", "data-act": "download", "data-from": from, "data-name": name }, text);
