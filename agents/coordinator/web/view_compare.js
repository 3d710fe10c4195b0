// Two runs and the verdict; or many series of a model or a device, latency against what it costs.

import { h } from "./dom.js";
import { ApiProblem } from "./api.js";
import { bytes, change, count, joules, number, plural, stub, unitsOf, withInterval, words } from "./format.js";
import { crumbs, deviceLink, empty, ended, flagList, pathWith, resultTable, runLink, section, table, when } from "./parts.js";
import { COLOURS, colour, legend } from "./charts.js";
import { whiskers } from "./charts_run.js";
import { scatter } from "./charts_fleet.js";

// As many names as the coordinator gives.
const MOST_NAMES = 2000;

export const compare = {
  title: "Compare",
  nav: "#/compare",
  topic: () => null,
  async load(calls, params) {
    if (params.baseline && params.candidate) return { pair: await calls.get("/api/v1/page/comparison", { baseline: params.baseline, candidate: params.candidate, across: params.across }) };
    if (params.baseline) return { first: await calls.get(`/api/v1/page/runs/${encodeURIComponent(params.baseline)}`),
      others: await others(calls, params) };
    const names = await calls.get("/api/v1/page/names");
    if (!params.model && !params.device) return { names };
    try {
      return { names, latest: await calls.get("/api/v1/page/latest", { model: params.model, device: params.device }) };
    } catch (error) {
      // Too many for one chart, say: the choice stays, so that another can be made.
      if (error instanceof ApiProblem) return { names, problem: error.message };
      throw error;
    }
  },
  draw(data, params) {
    if (data.pair) return drawPair(data.pair, params);
    if (data.first) return drawSecond(data, params);
    return drawMany(data, params);
  },
};

async function others(calls, { baseline, words: wanted, before }) {
  const { result } = await calls.get(`/api/v1/page/runs/${encodeURIComponent(baseline)}`);
  return calls.get("/api/v1/page/runs", { words: wanted, model: wanted ? null : result?.model, status: "succeeded", before, limit: 30 });
}

function drawSecond({ first, others: page }, params) {
  const runs = page.runs.filter((run) => run.run_id !== params.baseline);
  const name = first.run.spec.model.name;
  return [
    crumbs(h("a", { href: "#/results" }, "Results"), runLink(params.baseline), "Compare"),
    h("h1", {}, "Compare ", name, h("span", { class: "on" }, " on "), first.run.device, h("span", { class: "on" }, " with …")),
    h("p", { class: "row" }, h("input", { type: "search", id: "filter", "data-filter": "compare", value: params.words ?? "",
      placeholder: "Another model or device", "aria-label": "Find another model or device" })),
    h("p", { class: "muted" }, params.words ? "Runs with all of these words:" : "Other runs of the same model:"),
    runs.length > 0
      ? h("section", { class: "card wide" }, table("Runs to compare with", ["Run", "Device", "Runtime", "#Batch", "#p50", "#Ended", ""],
        runs.map((run) => ({ key: run.run_id, cells: [run.model, h("span", { class: "name" }, run.device), run.runtime, `${run.batch_size}`,
          run.p50 === null ? "—" : withInterval({ value: run.p50, low: run.p50_low, high: run.p50_high }).value, ended(run),
          h("a", { href: pathWith("compare", { baseline: params.baseline, candidate: run.run_id }),
            "aria-label": `Compare with ${run.model} on ${run.device}` }, "compare")] }))))
      : h("p", { class: "empty card" }, "There is no other run to compare it with."),
  ];
}

// --- two runs --------------------------------------------------------------------------------

function drawPair({ baseline, candidate, comparison: it }, params) {
  const refused = it.refusals.map(({ field }) => field).filter((field) => field !== "status");
  const p50 = [["baseline", baseline], ["candidate", candidate]].filter(([, run]) => run.latency?.p50);
  return [
    crumbs(h("a", { href: "#/results" }, "Results"), "Compare"),
    h("h1", {}, baseline.model === candidate.model ? baseline.model : `${baseline.model} and ${candidate.model}`),
    h("section", { class: `card verdict-card ${it.refusals.length ? "refused" : it.verdict}`, "data-key": "verdict", "aria-label": "Verdict" },
      h("p", { class: "verdict-word" }, it.refusals.length ? "no verdict" : it.verdict,
        it.ratio && !it.refusals.length && h("span", { class: "muted" }, ` ${change(it.ratio.value)} latency`)),
      h("p", {}, it.sentence),
      refused.length > 0 && h("p", {}, h("a", { class: "button", href: pathWith("compare", { ...params, across: [params.across, ...refused].filter(Boolean).join(",") }) },
        "That is meant: compare across ", refused.map(words).join(", "))),
      params.across && h("p", { class: "muted" }, `Compared across ${params.across.split(",").map(words).join(", ")}. `,
        h("a", { href: pathWith("compare", { ...params, across: null }) }, "Undo"))),
    h("div", { class: "columns" },
      p50.length === 2 && section("p50 with 95 % interval", whiskers("pair", "Median latency of both",
        p50.map(([name, run], index) => ({ name, ...run.latency.p50, mark: colour(index) })))),
      it.ratio && section("Ratio of latency, candidate to baseline", whiskers("ratio", "Ratio",
        [{ name: "candidate", ...it.ratio, mark: "c1" }], { units: [[1, ""]], label: "Ratio; 1 is no difference", at: 1 }),
        h("p", { class: "muted small" }, `${words(it.method)}; ${it.baseline_processes} and ${it.candidate_processes} processes; differences within ${number(100 * it.margin)} % count as none`))),
    h("section", { class: "card both", "data-key": "both" }, h("h2", {}, "Side by side"),
      table("Both runs", ["Figure", "#Baseline", "#Candidate", "#Change"], sideBySide(baseline, candidate))),
    it.differences.length > 0 && h("section", { class: "card both", "data-key": "differences" }, h("h2", {}, "What differs"),
      table("Differences", ["Field", "Baseline", "Candidate"], it.differences.map((each) => ({ key: each.field,
        cells: [h("span", { class: "name" }, words(each.field)), h("span", { class: "name" }, `${each.baseline ?? "—"}`), h("span", { class: "name" }, `${each.candidate ?? "—"}`)] })))),
    (baseline.flags.length > 0 || candidate.flags.length > 0) && h("div", { class: "columns" },
      [["Flags of the baseline", baseline], ["Flags of the candidate", candidate]].map(([title, run]) =>
        run.flags.length > 0 && section(title, flagList(run.flags)))),
    h("p", { class: "links" }, h("a", { href: pathWith("compare", { ...params, baseline: params.candidate, candidate: params.baseline }) }, "the other way round")),
  ].filter(Boolean);
}

function sideBySide(old, now) {
  const row = (name, value, format) => {
    const [a, b] = [value(old), value(now)];
    const both = typeof a === "number" && typeof b === "number" && a > 0;
    const said = (x) => (x === null || x === undefined ? h("span", { class: "muted" }, "—") : format(x));
    return { key: name, cells: [name, said(a), said(b), both ? change(b / a) : ""] };
  };
  const time = (x) => withInterval({ value: x, low: null, high: null }).value;
  const both = (name, value) => ({ key: name, cells: [name, value(old), value(now), ""] });
  return [
    both("Run", (run) => runLink(run.run_id, stub(run.run_id))),
    both("Model", (run) => h("span", { class: "name" }, run.model)),
    both("Device", (run) => deviceLink(run.device)),
    both("Runtime", (run) => h("span", { class: "name" }, `${run.runtime} ${run.runtime_version ?? ""}`)),
    both("Precision and batch", (run) => `${run.precision ?? "—"}, ${run.batch_size}`),
    row("p50", (run) => run.latency?.p50?.value, time),
    row("p99", (run) => run.latency?.p99?.value, time),
    row("Items per second", (run) => run.throughput_items_per_second, (x) => number(x)),
    row("Peak memory", (run) => run.memory?.peak_rss_bytes, bytes),
    row("Energy per item", (run) => run.energy?.headline.joules_per_item, joules),
    row("Model file", (run) => run.model_info.size_bytes, bytes),
    both("Ended, by its clock", (run) => when(run.finished_at)),
  ];
}

// --- many series -----------------------------------------------------------------------------

const COSTS = {
  memory: ["Peak memory", (run) => run.peak_memory_bytes, unitsOf("bytes")],
  energy: ["Energy per item", (run) => run.joules_per_item, unitsOf("joules")],
  size: ["Model file", (run) => run.model_bytes, unitsOf("bytes")],
  parameters: ["Parameters", (run) => run.parameters, [[1e9, "billion"], [1e6, "million"], [1, ""]]],
};

function drawMany({ names, latest, problem }, params) {
  const chooser = (name, all, text) => h("label", {}, text,
    h("select", { "data-param": name, "data-view": "compare" },
      h("option", { value: "" }, "any"),
      all.map((each) => h("option", { value: each, selected: params[name] === each }, each))));
  const head = [h("h1", {}, "Compare"),
    names.models.length > 0 && h("p", { class: "fields" }, chooser("model", names.models, "Model"), chooser("device", names.devices, "Device")),
    names.models.length >= MOST_NAMES && h("p", { class: "muted small" }, `The list has the first ${count(MOST_NAMES)} models. Another is found in the `,
      h("a", { href: "#/results" }, "results"), " by its name.")];
  if (names.models.length === 0) return [head, empty("Nothing has been measured yet", h("p", {}, "Two results are needed to compare. ", h("a", { href: "#/submit" }, "Submit a model"), "."))];
  if (problem) return [head, h("p", { class: "empty card", role: "alert" }, problem)];
  if (!latest) {
    return [head, empty("Choose a model or a device",
      h("p", {}, "A model is shown on every device that measured it; a device with every model that it measured. "
        + "Latency stands against memory, energy, or size: what nothing else beats in both is on the line."),
      h("p", {}, "For a verdict on two runs, pick both in the ", h("a", { href: "#/results" }, "results"), "."))];
  }
  return [head, pareto(latest.runs, params),
    latest.runs.length > 0 && resultTable("Newest run of each configuration", [...latest.runs].reverse().slice(0, 100)),
    latest.runs.length > 100 && h("p", { class: "muted" }, `The table shows 100 of ${latest.runs.length}; the chart all.`)].filter(Boolean);
}

function pareto(runs, params) {
  const timed = runs.filter((run) => run.p50 !== null);
  const present = Object.keys(COSTS).filter((name) => timed.some((run) => COSTS[name][1](run) > 0));
  if (present.length === 0) return h("p", { class: "empty card" }, "No run of these has both a latency and a size.");
  const chosen = present.includes(params.cost) ? params.cost : present[0];
  const [label, cost, units] = COSTS[chosen];
  const group = params.model ? (run) => run.device : (run) => run.model;
  const points = timed.filter((run) => cost(run) > 0).map((run) => ({
    x: run.p50, y: cost(run), group: group(run), run: run.run_id,
    name: [group(run), run.runtime, run.batch_size > 1 && `batch ${run.batch_size}`].filter(Boolean).join(" ") }));
  const groups = [...new Set(points.map((point) => point.group))].slice(0, COLOURS);
  const more = new Set(points.map((point) => point.group)).size - groups.length;
  return h("section", { class: "card", "data-key": "pareto" },
    h("div", { class: "head" }, h("h2", {}, `Latency against ${label.toLowerCase()}`),
      h("p", { class: "filters" }, present.map((name) => h("a", { class: "choice", "aria-current": name === chosen ? "true" : false,
        href: pathWith("compare", { ...params, cost: name }) }, COSTS[name][0])))),
    scatter(points, { label, units, groups }),
    legend([...groups.map((name, index) => ({ name, mark: colour(index) })), ...(more > 0 ? [{ name: `${more} others`, mark: "other" }] : [])]),
    h("p", { class: "muted small" }, `${plural(points.length, "configuration")}, newest run of each; lower left is better, and the line joins those that none beats in both.`,
      points.length < timed.length && ` ${timed.length - points.length} without a figure are left out.`));
}

