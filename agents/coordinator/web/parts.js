// Parts that several views are made of.

import { h } from "./dom.js";
import { ago, bytes, clockWords, endOf, isOver, joules, percent, plural, seconds, shortId, withInterval, words } from "./format.js";

export const SUBMIT_COMMAND = "fleetmark submit torchvision:resnet18 --devices all";

export const path = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;
export const pathWith = (name, params) => {
  const asked = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return asked.length ? `#/${name}?${new URLSearchParams(asked)}` : `#/${name}`;
};

export const badge = (name) => h("span", { class: `badge ${name}` }, words(name));

export const when = (iso) =>
  h("time", { datetime: iso, "data-ago": true, title: new Date(iso).toLocaleString() }, ago(iso));

/** When a run ended, and that its device's clock says otherwise. */
export const ended = (run) => {
  const wrong = clockWords(run.clock_offset_seconds);
  return wrong === null ? when(run.finished_at) : [when(endOf(run)), h("small", { class: "wrong" }, wrong)];
};

// Broken between words only: a line that ends in `--` is no option.
export const command = (text) => h("pre", { class: "command" }, h("code", {},
  text.split(" ").map((word, index) => [index > 0 && " ", h("span", {}, word)])));

export const why = (reason) =>
  h("details", { class: "why" },
    h("summary", { title: reason ?? false }, "—", h("span", {}, " why?")),
    h("p", {}, reason ?? "The device gave no reason."));

/** A value, or a dash that tells why there is none. */
export const known = (value, format, reason) =>
  value === null || value === undefined ? why(reason) : format(value);

export const facts = (...pairs) =>
  h("dl", {}, pairs.filter(Boolean).map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value))));

export const section = (title, ...children) =>
  h("section", { class: "card" }, h("h2", {}, title), children);

export const crumbs = (...parts) =>
  h("p", { class: "crumbs" }, parts.map((part, index) => [index > 0 && " / ", part]));

export const tile = (name, value, note) =>
  h("div", {}, h("dt", {}, name), h("dd", {}, value, note && h("small", {}, note)));

export const empty = (title, ...children) =>
  h("div", { class: "empty card" }, h("h2", {}, title), children);

export const shortJob = shortId;
export const runLink = (id, text) => h("a", { href: path("runs", id) }, text ?? shortId(id));
export const deviceLink = (name) => h("a", { href: path("devices", name) }, name);

export function percentile(latency, name) {
  const found = latency[name];
  if (found === null) return why(latency[`${name}_reason`]);
  const text = withInterval(found);
  return [text.value, h("small", {}, text.interval)];
}

export function flagList(flags) {
  return h("ul", { class: "flags" }, flags.map((flag) =>
    h("li", {}, h("strong", {}, words(flag.name)), ": ", flag.detail, h("br"),
      h("span", { class: "advice" }, flag.advice))));
}

export const labels = (entries) =>
  h("ul", { class: "labels" }, Object.entries(entries).sort().map(([key, value]) =>
    h("li", {}, `${key}=${value}`)));

export const errorText = ({ kind, message }) => [h("strong", {}, words(kind)), ": ", message];

// --- tables ----------------------------------------------------------------------------------

/** `columns`: names; one that begins with `#` is of numbers, and stands to the right. */
export function table(caption, columns, rows) {
  const role = (name) => ({ role: name });
  const named = columns.map((name) => ({ name: name.replace(/^#/, ""), number: name.startsWith("#") }));
  // Focusable, for whoever scrolls by keyboard.
  return h("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: 0 },
    h("table", role("table"),
      h("caption", { class: "unseen" }, caption),
      h("thead", role("rowgroup"),
        h("tr", role("row"), named.map((column) =>
          h("th", { scope: "col", class: column.number && "number", ...role("columnheader") },
            column.name || h("span", { class: "unseen" }, "Further"))))),
      h("tbody", role("rowgroup"), rows.map(({ key, cells, state: name }) =>
        h("tr", { "data-key": key, class: name ?? false, ...role("row") },
          cells.map((cell, index) => tableCell(cell, columnOf(cells, index), named)))))));
}

/** A cell that spans columns moves those after it. */
const columnOf = (cells, index) =>
  cells.slice(0, index).reduce((sum, cell) => sum + (cell?.span ?? 1), 0);

// The roles are said although HTML implies them: at phone width rows are drawn as blocks, and
// browsers then forget that this is a table.
function tableCell(cell, column, columns) {
  const { span, content } = cell?.span ? cell : { span: null, content: cell };
  const number = !span && columns[column].number && "number";
  return column === 0
    ? h("th", { scope: "row", role: "rowheader" }, content)
    : h("td", { role: "cell", class: number, "data-label": span ? false : columns[column].name, colspan: span }, content);
}

// --- runs ------------------------------------------------------------------------------------

export function runItem(run) {
  const { spec, progress } = run;
  const what = `${spec.model.name} on ${run.device}`;
  const how = `${spec.runtime} · ${spec.precision} · batch ${spec.batch_size}`;
  return h("li", { "data-key": run.id, class: "run" },
    h("span", { class: "what" }, runLink(run.id, spec.model.name), " on ", deviceLink(run.device),
      h("span", { class: "muted" }, ` · ${how}`)),
    badge(run.state),
    run.attempt > 1 && h("span", { class: "muted" }, `attempt ${run.attempt} of ${run.max_attempts}`),
    !isOver(run.state) && run.state !== "queued" && runProgress(progress, what),
    run.error && h("p", { class: "reason" }, errorText(run.error)),
    run.reason && !run.error && h("p", { class: "muted" }, run.reason));
}

export function runProgress(progress, what) {
  const now = progress ?? { phase: "starting", fraction: 0, repetitions: 1, repetition: 0 };
  if (now.phase === "waiting") return h("span", { class: "muted small" }, "waits for its turn");
  return h("div", { class: "progress" },
    h("progress", { max: 1, value: now.fraction, "aria-label": `Progress of ${what}` }),
    h("span", {}, percent(now.fraction), " · ", words(now.phase),
      now.repetitions > 1 && ` · repetition ${now.repetition + 1} of ${now.repetitions}`,
      now.p50_seconds != null && ` · p50 so far ${seconds(now.p50_seconds)}`));
}

// --- summaries of results --------------------------------------------------------------------

export const RESULT_COLUMNS = ["Model", "Device", "Runtime", "Precision", "#Batch",
  "#p50 (95 % interval)", "#p99", "#Items/s", "#Peak memory", "#Energy/item", "Flags", "#Ended"];
const FIGURE_COLUMNS = 5;

const dash = h("span", { class: "muted" }, "—");
const orDash = (value, format) => (value === null ? dash.cloneNode(true) : format(value));

/** A row of the table of results; `first` goes before the model's name. */
export function resultRow(run, first = null) {
  const figures = run.status === "succeeded" ? resultFigures(run)
    : [{ span: FIGURE_COLUMNS, content: h("div", { class: "outcome" }, badge(run.status), " ",
      run.error && h("span", {}, errorText({ kind: run.error_kind, message: run.error }))) }];
  return { key: run.run_id, state: run.status, cells: [
    h("span", { class: "pick" }, first, runLink(run.run_id, run.model)),
    h("span", { class: "name" }, deviceLink(run.device)),
    [run.runtime, run.accelerator && h("small", {}, run.accelerator)],
    run.precision ?? "—",
    `${run.batch_size}`,
    ...figures,
    run.flags.length === 0 ? h("span", { class: "muted" }, "none")
      : h("span", { class: "warned", title: run.flags.map(words).join(", ") }, plural(run.flags.length, "flag")),
    ended(run),
  ] };
}

function resultFigures(run) {
  const p50 = run.p50 === null ? null : withInterval({ value: run.p50, low: run.p50_low, high: run.p50_high });
  return [
    p50 === null ? dash.cloneNode(true) : [p50.value, h("small", {}, p50.interval)],
    orDash(run.p99, (value) => seconds(value)),
    orDash(run.items_per_second, (value) => quantityOfRate(value)),
    orDash(run.peak_memory_bytes, bytes),
    run.joules_per_item === null ? dash.cloneNode(true)
      : [joules(run.joules_per_item), h("small", {}, run.energy_scope)],
  ];
}

const quantityOfRate = (value) =>
  new Intl.NumberFormat("en", { maximumSignificantDigits: 4 }).format(value);

export const resultTable = (caption, runs, first) =>
  h("section", { class: "card wide", "data-key": caption },
    table(caption, RESULT_COLUMNS, runs.map((run) => resultRow(run, first?.(run)))));
