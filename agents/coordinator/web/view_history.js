// A model on a device over time, with the verdicts that were found when each run came.

import { h } from "./dom.js";
import { change, plural, withInterval, words } from "./format.js";
import { badge, crumbs, deviceLink, empty, ended, pathWith, runLink, table } from "./parts.js";
import { colour, legend } from "./charts.js";
import { historyChart, isChange, isUsual } from "./charts_fleet.js";

const MOST_ROWS = 50;

export const history = {
  title: "History",
  nav: "#/results",
  topic: () => "overview",
  changed: (overview) => `${overview.results}`,
  load: (calls, { device, model }) => calls.get("/api/v1/page/history", { device, model }),
  draw({ device, model, series, left_out: leftOut }, params) {
    const head = [crumbs(h("a", { href: "#/results" }, "Results"), "History"),
      h("h1", {}, model, h("span", { class: "on" }, " on "), deviceLink(device))];
    const shown = params.series ? series.filter((each) => each.series === params.series) : series;
    const points = shown.flatMap((each) => each.points);
    if (points.length === 0) {
      return [head, empty("No run has succeeded yet",
        h("p", {}, "The history begins with the first. ", h("a", { href: "#/submit" }, "Submit the model"), "."))];
    }
    return [head,
      h("section", { class: "card", "data-key": "history" }, h("h2", {}, `p50 latency of ${plural(points.length, "run")}`),
        historyChart(shown),
        legend([...shown.map((each, index) => ({ name: nameOf(each.points[0].run), mark: colour(index) })),
          points.some(({ run }) => isUsual(run)) && { name: "at the device's usual speed", mark: "usual" },
          { name: "slower than its baseline", mark: "worse" }, { name: "faster", mark: "better" }].filter(Boolean)),
        leftOut && h("p", { class: "muted" }, leftOut, ".")),
      series.length > 1 && h("p", { class: "filters" }, series.map((each) => h("a", { class: "choice",
        "aria-current": params.series === each.series ? "true" : false,
        href: pathWith("history", { device, model, series: params.series === each.series ? null : each.series }) }, nameOf(each.points[0].run)))),
      changesOf(points)].filter(Boolean);
  },
};

function changesOf(points) {
  const changes = points.filter(isChange).sort((one, other) => other.run.seq - one.run.seq);
  const judged = points.filter(({ verdict }) => verdict !== null).length;
  const none = judged === 0
    ? "No verdict is kept on any of these runs: the first run of a configuration has none to be compared with."
    : "No run is slower or faster than its baseline with certainty.";
  return h("section", { "data-key": "changes" }, h("h2", {}, "Changes"),
    changes.length === 0 ? h("p", { class: "card" }, none)
      : h("div", { class: "card wide" }, table("Changes", ["Run", "Configuration", "Verdict", "#p50", "#Change", "#Ended", ""],
        changes.slice(0, MOST_ROWS).map(changeRow))),
    h("p", { class: "muted small" }, `${plural(judged, "run")} of ${points.length} ${judged === 1 ? "has" : "have"} a verdict. It is found when the run comes, from the raw iterations, `,
      "against the run before or the baseline that ", h("code", {}, "fleetmark baseline set"), " chose, and kept."));
}

const changeRow = ({ run, verdict: it }) => ({ key: run.run_id, cells: [
  runLink(run.run_id), h("span", { class: "name" }, nameOf(run)), badge(it.verdict),
  withInterval({ value: run.p50, low: run.p50_low, high: run.p50_high }).value, change(it.ratio.value), ended(run),
  h("a", { href: pathWith("compare", { baseline: it.baseline_run_id, candidate: run.run_id }) },
    it.pinned ? "compare with the pinned baseline" : "compare with the run before")] });

/** What tells one series of runs from another, of one of its runs. */
const nameOf = (run) => [run.runtime, run.precision, `batch ${run.batch_size}`, run.accelerator !== "cpu" && run.accelerator,
  run.threads && plural(run.threads, "thread"), run.scenario !== "single_stream" && words(run.scenario)].filter(Boolean).join(" · ");
