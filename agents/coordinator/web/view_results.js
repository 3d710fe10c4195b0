// All results, a page at a time, and those picked to be compared.

import { h } from "./dom.js";
import { count, plural } from "./format.js";
import { command, empty, pathWith, resultTable, SUBMIT_COMMAND } from "./parts.js";
import { filterRow } from "./lists.js";

const PAGE = 50;
const STATUSES = ["succeeded", "failed", "cancelled"];

// At most two, in the order in which they were picked.
let picked = [];

export const results = {
  title: "Results",
  nav: "#/results",
  topic: () => "overview",
  changed: (overview) => `${overview.results}`,
  async load(calls, { words, device, model, job, status, before }) {
    return calls.get("/api/v1/page/runs", { words, device, model, job, status, before, limit: PAGE });
  },
  draw({ runs, total, next_before: next }, params) {
    const asked = ["words", "device", "model", "job", "status"].filter((name) => params[name]);
    if (total === 0 && asked.length === 0) {
      return [h("h1", {}, "Results"), empty("No run has ended yet",
        h("p", {}, h("a", { href: "#/submit" }, "Submit a model"), " here, or in a terminal:"), command(SUBMIT_COMMAND))];
    }
    return [
      h("h1", {}, "Results ", h("span", { class: "count" }, count(total))),
      filterRow("results", params, "Filter by model, device, runtime, flag …"),
      h("p", { class: "filters" },
        STATUSES.map((name) => h("a", { class: "choice", href: pathWith("results", { ...params, before: null, status: params.status === name ? null : name }),
          "aria-current": params.status === name ? "true" : false }, name)),
        ["device", "model", "job"].filter((name) => params[name]).map((name) =>
          h("a", { class: "choice", "aria-current": "true", href: pathWith("results", { ...params, before: null, [name]: null }),
            "aria-label": `Without ${name} ${params[name]}` }, `${name} ${params[name]} ✕`))),
      h("div", { class: "picked", role: "status", "data-key": "picked" }, comparison(params)),
      runs.length > 0 ? resultTable("Results, newest first", runs, pick)
        : h("p", { class: "empty card" }, "No result has all of this."),
      (params.before || next) && h("nav", { class: "pager", "aria-label": "Pages" },
        params.before && h("a", { class: "button quiet", href: pathWith("results", { ...params, before: null }) }, "← Newest"),
        next && h("a", { class: "button quiet", href: pathWith("results", { ...params, before: next }) }, "Older →")),
    ].filter(Boolean);
  },
};

const pick = (run) => run.status === "succeeded"
  ? h("input", { type: "checkbox", "data-act": "pick", "data-id": run.run_id, "data-name": `${run.model} on ${run.device}`,
    checked: picked.some(({ id }) => id === run.run_id), "aria-label": `Pick ${run.model} on ${run.device} for a comparison` })
  : h("span", { class: "nopick" });

function comparison() {
  if (picked.length === 0) return h("p", { class: "muted small" }, "Pick two runs to compare them.");
  if (picked.length === 1) return h("p", {}, `${picked[0].name} is picked; pick another to compare it with.`);
  return h("p", {}, `${picked.map(({ name }) => name).join(" and ")}: `,
    h("a", { class: "button", href: pathWith("compare", { baseline: picked[0].id, candidate: picked[1].id }) }, `Compare ${plural(2, "run")}`),
    " ", h("button", { type: "button", class: "quiet", "data-act": "unpick" }, "Clear"));
}

export const actions = {
  pick(box, { redraw }) {
    const { id, name } = box.dataset;
    picked = picked.filter((each) => each.id !== id);
    if (box.checked) picked = [...picked, { id, name }].slice(-2);
    for (const each of document.querySelectorAll("[data-act=pick]")) each.checked = picked.some((one) => one.id === each.dataset.id);
    redraw();
  },
  unpick(_, { redraw }) {
    picked = [];
    for (const each of document.querySelectorAll("[data-act=pick]")) each.checked = false;
    redraw();
  },
};
