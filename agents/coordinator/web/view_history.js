// A model on a device over time, with what became slower or faster marked.

import { h } from "./dom.js";
import { change, plural, withInterval, words } from "./format.js";
import { badge, crumbs, deviceLink, empty, pathWith, runLink, table, when } from "./parts.js";
import { colour, legend } from "./charts.js";
import { historyChart } from "./charts_fleet.js";

export const history = {
  title: "History",
  nav: "#/results",
  topic: () => "overview",
  changed: (overview) => `${overview.results}`,
  load: (calls, { device, model }) => calls.get("/api/v1/page/history", { device, model }),
  draw({ device, model, series, left_out: leftOut }, params) {
    const shown = params.series ? series.filter((each) => each.series === params.series) : series;
    const changes = shown.flatMap(({ points }) => points.map((point, index) => ({ ...point, before: points[index - 1] })))
      .filter(({ verdict }) => verdict === "slower" || verdict === "faster").reverse();
    const total = shown.reduce((sum, { points }) => sum + points.length, 0);
    return [
      crumbs(h("a", { href: "#/results" }, "Results"), "History"),
      h("h1", {}, model, h("span", { class: "on" }, " on "), deviceLink(device)),
      total === 0
        ? empty("No run has succeeded yet", h("p", {}, "The history begins with the first. ", h("a", { href: "#/submit" }, "Submit the model"), "."))
        : h("section", { class: "card", "data-key": "history" }, h("h2", {}, `p50 latency of ${plural(total, "run")}`),
          historyChart(shown),
          legend([...shown.map((each, index) => ({ name: nameOf(each.points[0].run), mark: colour(index) })),
            { name: "slower than before", mark: "worse" }, { name: "faster than before", mark: "better" }]),
          leftOut && h("p", { class: "muted" }, leftOut, ".")),
      series.length > 1 && h("p", { class: "filters" }, series.map((each) => h("a", { class: "choice",
        "aria-current": params.series === each.series ? "true" : false,
        href: pathWith("history", { device, model, series: params.series === each.series ? null : each.series }) }, nameOf(each.points[0].run)))),
      total > 0 && h("section", { "data-key": "changes" }, h("h2", {}, "Changes"),
        changes.length === 0 ? h("p", { class: "card" }, "No run differs from the others by more than 1 % with certainty.")
          : h("div", { class: "card wide" }, table("Changes", ["Run", "Configuration", "Verdict", "#p50", "#Change", "#Ended", ""], changes.slice(0, 50).map(({ run, verdict, ratio, before }) => ({
            key: run.run_id, cells: [runLink(run.run_id), h("span", { class: "name" }, nameOf(run)), badge(verdict),
              withInterval({ value: run.p50, low: run.p50_low, high: run.p50_high }).value, change(ratio), when(run.finished_at),
              before && h("a", { href: pathWith("compare", { baseline: before.run.run_id, candidate: run.run_id }) }, "compare with the run before")] })))),
        h("p", { class: "muted small" }, "A run is marked where its interval lies apart from that of the run that began the level before it. Comparing two runs weighs the raw iterations too.")),
    ].filter(Boolean);
  },
};

/** What tells one series of runs from another, of one of its runs. */
const nameOf = (run) => [run.runtime, run.precision, `batch ${run.batch_size}`, run.accelerator !== "cpu" && run.accelerator,
  run.threads && plural(run.threads, "thread"), run.scenario !== "single_stream" && words(run.scenario)].filter(Boolean).join(" · ");
