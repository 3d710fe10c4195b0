// Jobs and their progress.

import { h } from "./dom.js";
import { count, isOver, plural } from "./format.js";
import { badge, command, crumbs, empty, path, pathWith, resultTable, runItem, shortJob, SUBMIT_COMMAND, when } from "./parts.js";

const PAGE = 30;
// Runs of so many unfinished jobs are followed; the others show their counts.
const FOLLOWED = 6;

export const jobs = {
  title: "Jobs",
  nav: "#/jobs",
  topic: () => "overview",
  changed: (overview) => JSON.stringify(overview),
  async load(calls, { offset }) {
    const page = await calls.get("/api/v1/page/jobs", { offset, limit: PAGE });
    const followed = page.jobs.filter((job) => !isOver(job.state)).slice(0, FOLLOWED);
    const details = await Promise.all(followed.map((job) => calls.get(`/api/v1/page/jobs/${encodeURIComponent(job.id)}`)));
    // The details are the younger answer.
    const views = Object.fromEntries(details.map((detail) => [detail.job.id, detail]));
    return { ...page, jobs: page.jobs.map((job) => views[job.id]?.job ?? job), views };
  },
  draw({ jobs: found, views, more }, params) {
    const offset = Number(params.offset ?? 0);
    if (found.length === 0 && offset === 0) {
      return [h("h1", {}, "Jobs"), empty("Nothing has been submitted yet",
        h("p", {}, "A job is one model, measured on the devices that you choose. Start one ",
          h("a", { href: "#/submit" }, "here in the browser"), ", or in a terminal:"),
        command(SUBMIT_COMMAND))];
    }
    const open = found.filter((job) => !isOver(job.state));
    const over = found.filter((job) => isOver(job.state));
    const card = (job) => jobCard(job, views[job.id]);
    return [
      h("div", { class: "head" }, h("h1", {}, "Jobs"), h("a", { class: "button", href: "#/submit" }, "Submit a model")),
      open.length > 0 && h("section", { "data-key": "open" }, h("h2", {}, "Running and waiting"), open.map(card)),
      open.length === 0 && offset === 0 && h("p", { class: "hint card" }, "The queue is empty."),
      over.length > 0 && h("section", { "data-key": "over" }, h("h2", {}, "Over"),
        h("ul", { class: "card runs" }, over.map(overItem))),
      (offset > 0 || more) && h("nav", { class: "pager", "aria-label": "Pages" },
        offset > 0 && h("a", { class: "button quiet", href: pathWith("jobs", { offset: offset - PAGE || null }) }, "← Newer"),
        more && h("a", { class: "button quiet", href: pathWith("jobs", { offset: offset + PAGE }) }, "Older →")),
    ].filter(Boolean);
  },
};

function jobCard(job, view) {
  return h("article", { class: "card job", "data-key": job.id },
    h("header", {},
      h("h3", {}, h("a", { href: path("jobs", job.id) }, job.model)), badge(job.state),
      !isOver(job.state) && cancelButton(job)),
    h("p", { class: "muted" }, summary(job)),
    shares(job.runs),
    view && h("ul", { class: "runs" }, [...view.active, ...view.waiting.slice(0, 4)].map(runItem)));
}

const overItem = (it) => h("li", { class: "run", "data-key": it.id },
  h("a", { href: path("jobs", it.id) }, h("strong", {}, it.model)), badge(it.state),
  h("span", { class: "muted" }, shareWords(it.runs)), h("p", { class: "small muted" }, summary(it)));

const shareWords = (runs) =>
  ORDER.filter((name) => runs[name] > 0).map((name) => `${count(runs[name])} ${name}`).join(" · ");

const ORDER = ["succeeded", "failed", "cancelled", "running", "assigned", "queued"];

/** How many runs are in which state: a bar for the eye, words for all. */
function shares(runs) {
  const present = ORDER.filter((name) => runs[name] > 0);
  const total = present.reduce((sum, name) => sum + runs[name], 0);
  return h("div", { class: "shares" },
    total > 1 && h("div", { class: "bar-of", "aria-hidden": "true" }, present.flatMap((name) =>
      Array.from({ length: Math.max(1, Math.round((runs[name] / total) * 60)) }, () => h("span", { class: name })))),
    h("p", {}, shareWords(runs)));
}

function summary({ request, created_at: createdAt }) {
  const { axes } = request;
  return [
    `devices ${request.devices} · ${axes.runtime.join(", ") || "default runtime"} · `,
    `${axes.precision.join(", ")} · batch ${axes.batch_size.join(", ")} · submitted `,
    when(createdAt),
  ];
}

const cancelButton = (job) =>
  h("button", { type: "button", class: "quiet danger", "data-act": "cancel", "data-id": job.id,
    "aria-label": `Cancel the job ${job.model}` }, "Cancel");

export const job = {
  title: "Job",
  nav: "#/jobs",
  topic: ({ id }) => `job:${id}`,
  load: (calls, { id }) => calls.get(`/api/v1/page/jobs/${encodeURIComponent(id)}`),
  live: (_, view) => view,
  draw({ job: it, active, waiting, results }) {
    const total = Object.values(it.runs).reduce((sum, n) => sum + n, 0);
    const over = (it.runs.succeeded ?? 0) + (it.runs.failed ?? 0) + (it.runs.cancelled ?? 0);
    const left = (it.runs.queued ?? 0) - waiting.length;
    return [
      crumbs(h("a", { href: "#/jobs" }, "Jobs"), shortJob(it.id)),
      h("div", { class: "head" }, h("h1", {}, it.model, " ", badge(it.state)), !isOver(it.state) && cancelButton(it)),
      h("p", { class: "muted" }, summary(it)),
      h("section", { class: "card", "data-key": "runs" }, h("h2", {}, plural(total, "run")),
        !isOver(it.state) && h("div", { class: "progress" },
          h("progress", { max: total, value: over, "aria-label": `Progress of the job ${it.model}` }),
          h("span", {}, `${count(over)} of ${count(total)} over`)),
        isOver(it.state) ? shares(it.runs) : h("p", {}, shareWords(it.runs)),
        h("ul", { class: "runs" }, [...active, ...waiting].map(runItem)),
        left > 0 && h("p", { class: "muted" }, `and ${count(left)} further in the queue`)),
      results.length > 0 && h("section", { "data-key": "results" },
        h("div", { class: "head" }, h("h2", {}, "Results"),
          results.length > 1 && h("a", { href: pathWith("compare", { model: results[0].model }) }, "as a chart"),
          over > results.length && h("a", { href: pathWith("results", { job: it.id }) }, `all ${count(over)}`)),
        resultTable("Results of the job", results)),
    ].filter(Boolean);
  },
};

export const actions = {
  async cancel(button, { calls, reload, complain }) {
    if (!window.confirm(`${button.getAttribute("aria-label")}? Its runs that are not over end without a result.`)) return;
    button.disabled = true;
    try {
      await calls.post(`/api/v1/jobs/${encodeURIComponent(button.dataset.id)}/cancel`);
      complain(null);
      reload();
    } catch (error) {
      button.disabled = false;
      complain(error, "The job was not cancelled");
    }
  },
};
