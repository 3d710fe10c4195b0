// The embedded page: one view at a time, polled from the HTTP API.
//
//   fragment ─▶ route ─▶ load (GET) ─▶ draw (plain DOM) ─▶ morph into <main>
//
// Whatever comes from the API becomes text nodes and attributes, never markup: a model may be
// named `<script>`. Values arrive in SI base units and are formatted for people only here.

const POLL_MS = 1500;
const TIMEOUT_MS = 8000;
// Runs of so many unfinished jobs are followed; the others show their counts.
const FOLLOWED_JOBS = 8;
const TOKEN_KEY = "fleetmark-token";
const LISTED_RUNS = 100;
const SUBMIT_COMMAND = "fleetmark submit torchvision:resnet18 --devices all";

const byId = (id) => document.getElementById(id);

// --- state -----------------------------------------------------------------------------------

const state = {
  token: null,
  filter: "",
  meta: null,
  shown: null, // the route and the data that <main> shows
  drawn: null, // the same as JSON: nothing is redrawn unless it changed
  heardAt: null,
  clockOffset: 0, // the coordinator's clock minus this one's, in milliseconds
  timer: null,
  abort: null,
};

// --- formatting ------------------------------------------------------------------------------

const TIME_UNITS = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]];
const JOULE_UNITS = [[1e3, "kJ"], [1, "J"], [1e-3, "mJ"], [1e-6, "µJ"], [1e-9, "nJ"]];
const BYTE_UNITS = [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]];

const unitOf = (value, units) =>
  units.find(([size]) => Math.abs(value) >= size) ?? units[units.length - 1];

function number(value, digits = 4) {
  return new Intl.NumberFormat("en", { maximumSignificantDigits: digits }).format(value);
}

function quantity(value, units, digits = 4) {
  if (value === 0) return `0 ${units.find(([size]) => size === 1)[1]}`;
  const [size, name] = unitOf(value, units);
  return `${number(value / size, digits)} ${name}`;
}

const seconds = (value) => quantity(value, TIME_UNITS);
const joules = (value) => quantity(value, JOULE_UNITS);
const bytes = (value) => quantity(value, BYTE_UNITS);
const percent = (ratio) => `${number(100 * ratio, 2)} %`;

/** A value and its interval in one unit, with no more decimals than the interval supports. */
function withInterval({ value, low, high }) {
  if (low === null || high === null) return { value: seconds(value), interval: "no interval" };
  const [size, name] = unitOf(value, TIME_UNITS);
  const half = (high - low) / 2 / size;
  const wanted = half > 0 ? 1 - Math.floor(Math.log10(half)) : 3;
  const most = 4 - Math.floor(Math.log10(Math.max(value / size, 1)));
  const decimals = Math.max(0, Math.min(wanted, most, 6));
  const text = (x) => (x / size).toFixed(decimals);
  return { value: `${text(value)} ${name}`, interval: `${text(low)} – ${text(high)}` };
}

function ago(iso) {
  const passed = (Date.now() + state.clockOffset - Date.parse(iso)) / 1000;
  if (passed < 2) return "just now";
  if (passed < 120) return `${Math.round(passed)} s ago`;
  if (passed < 7200) return `${Math.round(passed / 60)} min ago`;
  if (passed < 172800) return `${Math.round(passed / 3600)} h ago`;
  return `${Math.round(passed / 86400)} days ago`;
}

const clock = (date) =>
  date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const words = (name) => String(name).replaceAll("_", " ");
const plural = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;
const shortId = (id) => (id.length > 12 ? `${id.slice(0, 12)}…` : id);

/** "devices 'x' selects nothing. Say all, or names." from a Problem. */
function sentence({ field, value, problem, remedy }) {
  const subject = [field, value === null || value === undefined ? null : `“${value}”`];
  const text = [...subject.filter(Boolean), problem].join(" ");
  return [text, remedy].filter(Boolean).map((part) => part.replace(/\.?$/, ".")).join(" ");
}

// --- DOM -------------------------------------------------------------------------------------

/** An element; `null` and `false` children are left out, strings become text. */
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);
const sameKind = (a, b) => a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

/**
 * Change `live` into `wanted` in place, so that focus, selection, scrolling and opened details
 * survive a poll. Keyed children are matched by key, the others by order.
 */
function morph(live, wanted) {
  const keyed = new Map();
  for (const child of live.childNodes) if (keyOf(child)) keyed.set(keyOf(child), child);
  let cursor = live.firstChild;
  for (const next of [...wanted.childNodes]) {
    const key = keyOf(next);
    const match = key ? keyed.get(key) : cursor && sameKind(cursor, next) ? cursor : null;
    if (!match || !sameKind(match, next)) {
      live.insertBefore(next, cursor);
      continue;
    }
    keyed.delete(key);
    if (match === cursor) cursor = cursor.nextSibling;
    else live.insertBefore(match, cursor);
    if (match.nodeType === Node.TEXT_NODE) {
      if (match.data !== next.data) match.data = next.data;
    } else {
      morphAttributes(match, next);
      morph(match, next);
    }
  }
  while (cursor) {
    const after = cursor.nextSibling;
    cursor.remove();
    cursor = after;
  }
}

function morphAttributes(live, wanted) {
  // Whether details are open is the reader's choice.
  const ours = (name) => !(name === "open" && live.nodeName === "DETAILS");
  for (const { name } of [...live.attributes]) {
    if (ours(name) && !wanted.hasAttribute(name)) live.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (ours(name) && live.getAttribute(name) !== value) live.setAttribute(name, value);
  }
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// --- parts -----------------------------------------------------------------------------------

const badge = (name) => h("span", { class: `badge ${name}` }, words(name));

const when = (iso) =>
  h("time", { datetime: iso, "data-ago": true, title: new Date(iso).toLocaleString() }, ago(iso));

// Broken between words only: a line that ends in `--` is no option.
const command = (text) => h("pre", { class: "command" }, h("code", {},
  text.split(" ").map((word, index) => [index > 0 && " ", h("span", {}, word)])));

const why = (reason) =>
  h("details", { class: "why" },
    h("summary", { title: reason ?? false }, "—", h("span", {}, " why?")),
    h("p", {}, reason ?? "The device gave no reason."));

/** A value, or a dash that tells why there is none. */
const known = (value, format, reason) =>
  value === null || value === undefined ? why(reason) : format(value);

const facts = (...pairs) =>
  h("dl", {}, pairs.filter(Boolean).map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value))));

const section = (title, ...children) => h("section", { class: "card" }, h("h2", {}, title), children);

function percentile(latency, name) {
  const found = latency[name];
  if (found === null) return why(latency[`${name}_reason`]);
  const text = withInterval(found);
  return [text.value, h("small", {}, text.interval)];
}

function flagList(flags) {
  return h("ul", { class: "flags" }, flags.map((flag) =>
    h("li", {}, h("strong", {}, words(flag.name)), ": ", flag.detail, h("br"),
      h("span", { class: "advice" }, flag.advice))));
}

function table(caption, columns, rows) {
  const role = (name) => ({ role: name });
  // Focusable, for whoever scrolls by keyboard.
  return h("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: 0 },
    h("table", role("table"),
    h("caption", { class: "unseen" }, caption),
    h("thead", role("rowgroup"),
      h("tr", role("row"), columns.map((name) =>
        h("th", { scope: "col", ...role("columnheader") }, name)))),
    h("tbody", role("rowgroup"), rows.map(({ key, cells, state: name }) =>
      h("tr", { "data-key": key, class: name ?? false, ...role("row") },
        cells.map((cell, index) => tableCell(cell, columnOf(cells, index), columns)))))));
}

/** A cell that spans columns moves those after it. */
const columnOf = (cells, index) =>
  cells.slice(0, index).reduce((sum, cell) => sum + (cell?.span ?? 1), 0);

// The roles are said although HTML implies them: at phone width rows are drawn as blocks, and
// browsers then forget that this is a table.
function tableCell(cell, column, columns) {
  const { span, content } = cell?.span ? cell : { span: null, content: cell };
  return column === 0
    ? h("th", { scope: "row", role: "rowheader" }, content)
    : h("td", { role: "cell", "data-label": span ? false : columns[column], colspan: span }, content);
}

// --- devices ---------------------------------------------------------------------------------

async function loadDevices() {
  const { devices } = await get("/api/v1/devices");
  return { devices, meta: state.meta };
}

function drawDevices({ devices, meta }) {
  const join = [
    h("p", {}, "Copy the agents' token file from the coordinator to the device, then run there:"),
    command(meta.join_command),
  ];
  if (devices.length === 0) {
    return [h("h1", {}, "Devices"),
      h("div", { class: "empty card" }, h("h2", {}, "No device has joined yet"), join)];
  }
  return [
    h("h1", {}, "Devices ", h("span", { class: "count" }, devices.length)),
    h("div", { class: "grid" }, devices.map(deviceCard)),
    h("details", { class: "card more" }, h("summary", {}, "Add a device"), join),
  ];
}

function deviceCard(device) {
  const { inventory: it } = device;
  return h("article", { class: "card", "data-key": device.id },
    h("header", {}, h("h2", {}, device.name), badge(device.state)),
    device.state_reason && h("p", { class: "reason" }, device.state_reason),
    facts(
      ["Kind", [it.kind, it.board && ` · ${it.board}`]],
      ["CPU", `${it.cpu_model} · ${plural(it.cpu_count, "core")} · ${it.machine}`],
      ["Memory", known(it.memory_total_bytes, bytes, "The device does not tell.")],
      ["Accelerators", it.accelerators.length ? it.accelerators.join(", ") : "none"],
      ["Runtimes", h("ul", { class: "plain" }, it.runtimes.map(runtimeItem))],
      ["Energy", it.energy_sources.length
        ? it.energy_sources.join(", ")
        : h("span", { class: "muted" }, it.energy_reason ?? "no source")],
      Object.keys(device.labels).length > 0 && ["Labels", labels(device.labels)],
      ["Last seen", device.last_seen_at ? when(device.last_seen_at) : "never"],
      device.current_run_id && ["Running", runLink(device.current_run_id)],
    ));
}

function runtimeItem({ runtime, version, reason, remedy }) {
  if (version !== null) return h("li", {}, runtime, " ", h("span", { class: "muted" }, version));
  return h("li", { class: "absent" }, h("details", {},
    h("summary", {}, runtime, " ", h("span", { class: "muted" }, "not usable")),
    h("p", {}, reason ?? "The device gave no reason."),
    remedy && h("p", { class: "advice" }, remedy)));
}

const labels = (entries) =>
  h("ul", { class: "labels" }, Object.entries(entries).sort().map(([key, value]) =>
    h("li", {}, `${key}=${value}`)));

const runLink = (id, text) => h("a", { href: `#/runs/${encodeURIComponent(id)}` }, text ?? shortId(id));

// --- jobs ------------------------------------------------------------------------------------

const isOver = (name) => ["succeeded", "failed", "cancelled"].includes(name);

async function loadJobs() {
  const { jobs } = await get("/api/v1/jobs?limit=50");
  const followed = jobs.filter((job) => !isOver(job.state)).slice(0, FOLLOWED_JOBS);
  const details = await Promise.all(followed.map((job) => get(`/api/v1/jobs/${encodeURIComponent(job.id)}`)));
  // The details are the younger answer.
  const runs = new Map(details.map((detail) => [detail.job.id, detail]));
  return { jobs: jobs.map((job) => runs.get(job.id) ?? { job, runs: null }) };
}

function drawJobs({ jobs }) {
  if (jobs.length === 0) {
    return [h("h1", {}, "Jobs"),
      h("div", { class: "empty card" }, h("h2", {}, "Nothing has been submitted yet"),
        h("p", {}, "This measures one model on every device:"), command(SUBMIT_COMMAND))];
  }
  const open = jobs.filter(({ job }) => !isOver(job.state));
  const over = jobs.filter(({ job }) => isOver(job.state));
  return [
    h("h1", {}, "Jobs ", h("span", { class: "count" }, jobs.length)),
    open.length > 0 && h("section", { "data-key": "open" },
      h("h2", {}, "Running and waiting"), open.map(jobCard)),
    open.length === 0 && h("p", { class: "muted" }, "The queue is empty. Submit the next model with ",
      h("code", {}, SUBMIT_COMMAND), "."),
    over.length > 0 && h("section", { "data-key": "over" }, h("h2", {}, "Over"), over.map(jobCard)),
  ].filter(Boolean);
}

function jobCard({ job, runs }) {
  return h("article", { class: "card job", "data-key": job.id },
    h("header", {},
      h("h3", {}, h("a", { href: `#/jobs/${encodeURIComponent(job.id)}` }, job.model)),
      badge(job.state),
      !isOver(job.state) && cancelButton(job)),
    h("p", { class: "muted" }, jobSummary(job)),
    h("p", {}, Object.entries(job.runs).filter(([, n]) => n > 0)
      .map(([name, n]) => `${n} ${name}`).join(" · ")),
    runs && h("ul", { class: "runs" }, runs.map(runItem)));
}

function jobSummary({ request, created_at: createdAt }) {
  const { axes } = request;
  return [
    `devices ${request.devices} · ${axes.runtime.join(", ") || "default runtime"} · `,
    `${axes.precision.join(", ")} · batch ${axes.batch_size.join(", ")} · submitted `,
    when(createdAt),
  ];
}

const cancelButton = (job) =>
  h("button", { type: "button", class: "quiet", "data-cancel": job.id,
    "aria-label": `Cancel the job ${job.model}` }, "Cancel");

function runItem(run) {
  const { spec, progress } = run;
  const what = `${run.device} · ${spec.runtime} · ${spec.precision} · batch ${spec.batch_size}`;
  return h("li", { "data-key": run.id, class: "run" },
    h("span", { class: "what" }, isOver(run.state) ? runLink(run.id, what) : what),
    badge(run.state),
    run.attempt > 1 && h("span", { class: "muted" }, `attempt ${run.attempt} of ${run.max_attempts}`),
    !isOver(run.state) && run.state !== "queued" && runProgress(run, progress, what),
    run.error && h("p", { class: "reason" }, errorText(run.error)),
    run.reason && !run.error && h("p", { class: "muted" }, run.reason));
}

function runProgress(run, progress, what) {
  const now = progress ?? { phase: "starting", fraction: 0, repetitions: 1, repetition: 0 };
  return h("div", { class: "progress" },
    h("progress", { max: 1, value: now.fraction, "aria-label": `Progress of ${what}` }),
    h("span", {}, percent(now.fraction), " · ", words(now.phase),
      now.repetitions > 1 && ` · repetition ${now.repetition + 1} of ${now.repetitions}`,
      now.p50_seconds != null && ` · p50 so far ${seconds(now.p50_seconds)}`));
}

const errorText = ({ kind, message }) => [h("strong", {}, words(kind)), ": ", message];

const loadJob = (id) => get(`/api/v1/jobs/${encodeURIComponent(id)}`);

function drawJob({ job, runs }) {
  return [
    h("p", { class: "crumbs" }, h("a", { href: "#/jobs" }, "Jobs"), " / ", shortId(job.id)),
    h("h1", {}, job.model, " ", badge(job.state)),
    h("p", { class: "muted" }, jobSummary(job)),
    !isOver(job.state) && h("p", {}, cancelButton(job)),
    h("section", { class: "card" }, h("h2", {}, plural(runs.length, "run")),
      h("ul", { class: "runs" }, runs.map(runItem))),
  ].filter(Boolean);
}

// --- results ---------------------------------------------------------------------------------

const RESULT_COLUMNS = ["Model", "Device", "Runtime", "Precision", "Batch", "p50 (95 % interval)",
  "p99", "Items/s", "Peak memory", "Energy/item", "Flags", "Ended"];
// Of these, the columns that an error takes the place of.
const FIGURE_COLUMNS = 5;

const loadResults = () => get(`/api/v1/runs?limit=${LISTED_RUNS}`);

function drawResults({ runs, pending }) {
  const coming = pending.length > 0 && h("p", { class: "muted" },
    h("a", { href: "#/jobs" }, plural(pending.length, "run"),
      pending.length >= LISTED_RUNS && " or more"), " still to come.");
  if (runs.length === 0) {
    return [h("h1", {}, "Results"),
      h("div", { class: "empty card" }, h("h2", {}, "No run has ended yet"),
        coming || [h("p", {}, "Submit a model:"), command(SUBMIT_COMMAND)])];
  }
  const shown = runs.filter(matchesFilter);
  return [
    h("h1", {}, "Results ", h("span", { class: "count" }, shown.length)),
    h("p", { class: "row" }, h("input", { type: "search", id: "filter", "data-filter": true,
      placeholder: "Filter by model, device, runtime …", "aria-label": "Filter the results" })),
    coming,
    shown.length > 0
      ? h("section", { class: "card wide", "data-key": "table" },
        table("Results, newest first", RESULT_COLUMNS, shown.map(resultRow)))
      : h("p", { class: "empty card" }, "No result has all of these words."),
  ].filter(Boolean);
}

function matchesFilter(result) {
  const text = [result.model, result.device, result.runtime, result.precision, result.accelerator,
    result.status].join(" ").toLowerCase();
  return state.filter.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function resultRow(result) {
  const head = [
    runLink(result.run_id, result.model),
    h("span", { class: "name" }, result.device),
    [result.runtime, result.accelerator && h("small", {}, result.accelerator)],
    result.precision ?? "—",
    number(result.batch_size),
  ];
  const tail = [flagCell(result.flags), when(result.finished_at)];
  const figures = result.status === "succeeded"
    ? resultFigures(result)
    : [{ span: FIGURE_COLUMNS, content: outcome(result) }];
  return { key: result.run_id, state: result.status, cells: [...head, ...figures, ...tail] };
}

const outcome = ({ status, error }) =>
  h("div", { class: "outcome" }, badge(status), " ", error && h("span", {}, errorText(error)));

function resultFigures(result) {
  const { latency } = result;
  return [
    latency ? percentile(latency, "p50") : why(result.latency_reason),
    latency ? known(latency.p99, (p99) => withInterval(p99).value, latency.p99_reason)
      : why(result.latency_reason),
    known(result.throughput_items_per_second, (value) => number(value), result.latency_reason),
    peakMemory(result),
    energyPerItem(result),
  ];
}

function peakMemory({ memory, memory_reason: reason }) {
  if (!memory) return why(reason);
  return known(memory.peak_rss_bytes, bytes, memory.peak_rss_reason);
}

function energyPerItem({ energy, energy_reason: reason }) {
  return known(energy?.headline, ({ joules_per_item: value, provenance }) =>
    [joules(value), h("small", {}, provenance.scope)], reason);
}

function flagCell(flags) {
  if (flags.length === 0) return "none";
  return h("details", {}, h("summary", { title: flags.map((flag) => words(flag.name)).join(", ") },
    plural(flags.length, "flag")), flagList(flags));
}

// --- one run ---------------------------------------------------------------------------------

/** The result or, while there is none, the run that is to give it. */
async function loadRun(id) {
  try {
    return { result: await get(`/api/v1/runs/${encodeURIComponent(id)}`) };
  } catch (error) {
    if (!(error instanceof ApiProblem)) throw error;
    const { pending } = await loadResults();
    const waiting = pending.find((run) => run.id === id);
    if (!waiting) throw error;
    return { waiting };
  }
}

const drawRun = ({ result, waiting }) => (result ? drawResult(result) : drawWaiting(waiting));

const drawWaiting = (run) => [
  h("p", { class: "crumbs" }, h("a", { href: "#/results" }, "Results"), " / ", shortId(run.id)),
  h("h1", {}, run.spec.model.name, h("span", { class: "on" }, " on "), run.device),
  h("div", { class: "card" }, h("ul", { class: "runs" }, runItem(run))),
  h("p", { class: "muted" }, "The figures come when the run is over. ",
    h("a", { href: `#/jobs/${encodeURIComponent(run.job_id)}` }, "Its job"), "."),
];

function drawResult(run) {
  return [
    h("p", { class: "crumbs" }, h("a", { href: "#/results" }, "Results"), " / ", shortId(run.run_id)),
    h("h1", {}, run.model, h("span", { class: "on" }, " on "), run.device, " ", badge(run.status)),
    h("p", { class: "muted" }, runSummary(run)),
    run.error && errorCard(run.error),
    run.status === "succeeded" && tiles(run),
    run.flags.length > 0 && section("Flags", flagList(run.flags)),
    h("div", { class: "columns" },
      run.latency && latencyCard(run.latency),
      run.repetitions.length > 0 && repetitionsCard(run.repetitions),
      run.memory && memoryCard(run.memory),
      run.energy && energyCard(run.energy),
      sensorsCard(run),
      modelCard(run),
      environmentCard(run)),
  ].filter(Boolean);
}

const runSummary = (run) => [
  [`${run.runtime} ${run.runtime_version ?? ""}`.trim(), run.precision, `batch ${run.batch_size}`,
    run.accelerator, run.threads && plural(run.threads, "thread"), words(run.scenario)]
    .filter(Boolean).join(" · "),
  " · ended ", when(run.finished_at),
  run.job_id && [" · ", h("a", { href: `#/jobs/${encodeURIComponent(run.job_id)}` }, "its job")],
];

const errorCard = (error) =>
  h("section", { class: "card failure" }, h("h2", {}, words(error.kind)), h("p", {}, error.message),
    error.stderr_tail && h("details", {}, h("summary", {}, "What the worker wrote last"),
      h("pre", {}, error.stderr_tail)));

function tiles(run) {
  const { latency } = run;
  const tile = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return h("dl", { class: "tiles" },
    tile("p50, 95 % interval", latency ? percentile(latency, "p50") : why(run.latency_reason)),
    tile("p99", latency ? percentile(latency, "p99") : why(run.latency_reason)),
    tile("Items per second",
      known(run.throughput_items_per_second, (value) => number(value), run.latency_reason)),
    tile("Peak memory", peakMemory(run)),
    tile("Energy per item", energyPerItem(run)));
}

function latencyCard(latency) {
  const names = { p50: "p50", p90: "p90", p95: "p95", p99: "p99", p999: "p99.9" };
  const rows = Object.entries(names).map(([name, shown]) => {
    const found = latency[name];
    const text = found && withInterval(found);
    return { key: name, cells: found
      ? [shown, text.value, text.interval]
      : [shown, { span: 2, content: h("span", { class: "muted name" }, latency[`${name}_reason`] ?? "not known") }] };
  });
  return section("Latency",
    table("Percentiles", ["Percentile", "Value", "95 % interval"], rows),
    facts(
      ["Mean", seconds(latency.mean)],
      ["Minimum and maximum", `${seconds(latency.minimum)} – ${seconds(latency.maximum)}`],
      ["Median absolute deviation", seconds(latency.median_absolute_deviation)],
      ["Iterations", `${number(latency.n, 9)}, worth ${number(latency.n_effective, 3)} independent ones`],
      ["Outliers", `${number(latency.outliers, 9)}, tagged and kept`]));
}

function repetitionsCard(repetitions) {
  return section("Repetitions",
    h("p", { class: "muted" }, "Each is a fresh process. Load and first call are cold figures: they "
      + "are not in the distribution."),
    table("Repetitions", ["#", "Median", "Load", "First call", "Warm-up", "Iterations"],
      repetitions.map((each) => ({ key: `${each.index}`, cells: [
        `${each.index + 1}`,
        seconds(each.median_seconds),
        seconds(each.load_seconds),
        seconds(each.first_inference_seconds),
        `${seconds(each.warmup_seconds)} (${number(each.warmup_iterations, 9)})`,
        number(each.iterations, 9),
      ] }))));
}

const memoryCard = (memory) => section("Memory",
  facts(
    ["Peak of the process", known(memory.peak_rss_bytes, bytes, memory.peak_rss_reason)],
    memory.peak_rss_anonymous_bytes !== null
      && ["Of it anonymous", bytes(memory.peak_rss_anonymous_bytes)],
    memory.peak_rss_file_bytes !== null
      && ["Of it mapped from files", bytes(memory.peak_rss_file_bytes)],
    memory.tree_processes > 1 && [`Peak of all ${memory.tree_processes} processes`,
      bytes(memory.tree_peak_rss_bytes)],
    memory.cgroup_peak_bytes !== null
      && ["Peak of the control group", bytes(memory.cgroup_peak_bytes)],
    memory.rss_before_load_bytes !== null && ["Before loading", bytes(memory.rss_before_load_bytes)],
    memory.rss_anonymous_bytes !== null && ["Anonymous, at the end", bytes(memory.rss_anonymous_bytes)],
    memory.rss_file_bytes !== null && ["Mapped from files, at the end", bytes(memory.rss_file_bytes)],
    ["Accelerator, allocated",
      known(memory.accelerator_peak_allocated_bytes, bytes, memory.accelerator_reason)],
    memory.accelerator_peak_reserved_bytes !== null
      && ["Accelerator, reserved", bytes(memory.accelerator_peak_reserved_bytes)],
    memory.accelerator_process_bytes !== null
      && ["Accelerator, as the driver sees the process", bytes(memory.accelerator_process_bytes)],
    memory.unified && ["Accelerator's memory", "the host's own: not to be added to it"]));

function energyCard(energy) {
  const rows = [energy.headline, ...energy.others].map((figure) => {
    const from = figure.provenance;
    return { key: `${from.source}/${from.channel}`, cells: [
      `${from.source} ${from.channel}`,
      joules(figure.joules_per_item),
      `${number(figure.mean_power_watts)} W`,
      from.scope,
      `${from.quality}, ± ${percent(from.uncertainty)}`,
    ] };
  });
  return section("Energy", table("Energy", ["Source", "Per item", "Mean power", "Scope", "Quality"], rows));
}

function sensorsCard(run) {
  const absent = run.sensors_absent;
  if (absent.length === 0 && !run.sampler && !run.energy_reason) return null;
  return section("Sensors",
    run.energy_reason && h("p", {}, "No energy figure: ", run.energy_reason),
    run.sampler && h("p", { class: "muted" }, `Read: ${run.sampler.sources.join(", ") || "nothing"} · `
      + `${plural(run.sampler.readings, "reading")}, ${run.sampler.failed_readings} failed · `
      + `largest gap ${seconds(run.sampler.largest_gap_seconds)}`),
    absent.length > 0 && h("dl", {}, absent.map(({ source, reason, remedy }) =>
      h("div", {}, h("dt", {}, source),
        h("dd", {}, reason, remedy && h("p", { class: "advice" }, remedy))))));
}

function modelCard(run) {
  const { model_info: info } = run;
  return section("Model",
    facts(
      ["Source", info.source],
      ["Parameters", known(info.parameters, (n) => number(n, 12), info.parameters_reason)],
      info.size_bytes !== null && ["File", bytes(info.size_bytes)],
      info.digest && ["SHA-256", h("code", {}, info.digest)],
      info.converted_digest && ["SHA-256, converted", h("code", {}, info.converted_digest)],
      run.inputs.length > 0 && ["Inputs", h("ul", { class: "plain" }, run.inputs.map((each) =>
        h("li", {}, `${each.name}: ${each.dtype} [${each.shape.join(", ")}]`)))],
      ["Seed", `${run.seed}`],
      Object.keys(run.phases_seconds).length > 0 && ["Time spent", h("ul", { class: "plain" },
        Object.entries(run.phases_seconds).map(([name, value]) =>
          h("li", {}, `${words(name)} ${seconds(value)}`)))]));
}

function environmentCard({ environment: it, environment_reason: reason }) {
  if (!it) return section("Environment", h("p", { class: "muted" }, reason ?? "not known"));
  const list = (entries) => h("ul", { class: "plain" },
    Object.entries(entries).sort().map(([name, value]) => h("li", {}, h("code", {}, `${name} ${value}`))));
  return section("Environment",
    facts(
      ["System", `${it.os} · ${it.kernel} · ${it.architecture}`],
      it.board && ["Board", it.board],
      ["CPU", `${it.cpu_model} · ${plural(it.cpu_count, "core")}, ${it.cpu_affinity.length} used`],
      it.accelerator_name && ["Accelerator", it.accelerator_name],
      it.memory_total_bytes !== null && ["Memory", bytes(it.memory_total_bytes)],
      ["Frequency governors", it.governors.join(", ") || "not known"],
      it.virtualization && ["Virtualisation", it.virtualization],
      it.load_average_1m !== null && ["Load, 1 min", number(it.load_average_1m, 3)],
      it.cpu_pressure_avg10 !== null && ["CPU pressure, 10 s", `${number(it.cpu_pressure_avg10, 3)} %`],
      ["Software", `fleetmark ${it.fleetmark} · Python ${it.python}`]),
    h("details", {}, h("summary", {}, plural(Object.keys(it.packages).length, "package")), list(it.packages)),
    h("details", {}, h("summary", {}, "Environment variables of the worker"), list(it.worker_environment)));
}

// --- routes ----------------------------------------------------------------------------------

const ROUTES = [
  { pattern: /^#\/jobs$/, title: "Jobs", nav: "#/jobs", load: loadJobs, draw: drawJobs },
  { pattern: /^#\/jobs\/([^/]+)$/, title: "Job", nav: "#/jobs", load: loadJob, draw: drawJob },
  { pattern: /^#\/results$/, title: "Results", nav: "#/results", load: loadResults, draw: drawResults },
  { pattern: /^#\/runs\/([^/]+)$/, title: "Run", nav: "#/results", load: loadRun, draw: drawRun },
  { pattern: /^/, title: "Devices", nav: "#/devices", load: loadDevices, draw: drawDevices },
];

function currentRoute() {
  const route = ROUTES.find(({ pattern }) => pattern.test(location.hash));
  const [, id] = location.hash.match(route.pattern);
  return { ...route, id: id === undefined ? undefined : decodeURIComponent(id) };
}

// --- the HTTP API ----------------------------------------------------------------------------

class Refused extends Error {}
class ApiProblem extends Error {}
class Unreachable extends Error {}

async function call(path, method = "GET") {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: { Authorization: `Bearer ${state.token}`, Accept: "application/json" },
      signal: AbortSignal.any([state.abort.signal, AbortSignal.timeout(TIMEOUT_MS)]),
      cache: "no-store",
    });
  } catch (error) {
    if (state.abort.signal.aborted) throw error;
    throw new Unreachable(error.name === "TimeoutError" ? "it takes too long" : "no connection");
  }
  if (response.status === 401) throw new Refused();
  syncClock(response.headers.get("Date"));
  let body;
  try {
    body = await response.json();
  } catch {
    throw new Unreachable(`an answer that is no JSON, HTTP ${response.status}`);
  }
  if (response.ok) return body;
  if (typeof body.problem === "string") throw new ApiProblem(sentence(body));
  throw new Unreachable(`HTTP ${response.status}`);
}

const get = (path) => call(path);

// "12 s ago" is told by the coordinator's clock: a board's or a laptop's may be minutes off.
function syncClock(header) {
  const offset = Date.parse(header ?? "") - Date.now();
  state.clockOffset = Math.abs(offset) > 2000 ? offset : 0;
}

// --- the loop --------------------------------------------------------------------------------

function restart() {
  clearTimeout(state.timer);
  state.abort?.abort();
  state.abort = new AbortController();
  return tick(state.abort);
}

async function tick(mine) {
  if (!state.token) {
    askForToken("This page shows a fleet to whoever has its token.");
    return;
  }
  if (document.hidden && state.drawn !== null) return;
  const route = currentRoute();
  try {
    state.meta ??= await get("/api/v1/meta");
    const data = await route.load(route.id);
    if (mine.signal.aborted) return;
    setText(byId("version"), `fleetmark ${state.meta.version} at ${state.meta.url}`);
    state.heardAt = new Date();
    show(route, data, () => route.draw(data));
    report("connected", "Connected");
  } catch (error) {
    if (mine.signal.aborted) return;
    failed(error, route);
  }
  for (const element of document.querySelectorAll("time[data-ago]")) {
    setText(element, ago(element.dateTime));
  }
  if (state.token) state.timer = setTimeout(() => tick(mine), POLL_MS);
}

function failed(error, route) {
  if (error instanceof Refused) {
    forgetToken();
    askForToken("The coordinator does not accept this token.");
  } else if (error instanceof ApiProblem) {
    report("connected", "Connected");
    show(route, { problem: error.message }, () => [
      h("h1", {}, route.title), h("p", { class: "empty card" }, error.message)]);
  } else if (error instanceof Unreachable) {
    // What comes back may be another version.
    state.meta = null;
    const since = state.heardAt ? ` What you see is from ${clock(state.heardAt)}.` : "";
    report("lost", `The coordinator does not answer (${error.message}). Trying again.${since}`);
  } else {
    report("lost", "This page failed; reload it. The browser's console says why.");
    throw error;
  }
}

function show(route, data, draw) {
  state.shown = { route, data, draw };
  byId("nav").hidden = false;
  byId("token-form").hidden = true;
  byId("main").hidden = false;
  document.title = `${route.title} · fleetmark`;
  for (const link of byId("nav").children) {
    if (link.getAttribute("href") === route.nav) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const drawn = JSON.stringify([location.hash, state.filter, data]);
  if (drawn === state.drawn) return;
  state.drawn = drawn;
  const wanted = document.createElement("main");
  // A view of its own: nothing of the one before is matched.
  wanted.append(h("div", { "data-key": location.hash }, draw()));
  morph(byId("main"), wanted);
}

// Spoken by screen readers, so only a change is written.
function report(name, text) {
  byId("status").className = name;
  setText(byId("status"), text);
}

function complain(text) {
  byId("alert").hidden = !text;
  setText(byId("alert"), text ?? "");
}

// --- the token -------------------------------------------------------------------------------

/** `#token=…` and, where the link leads further, `&to=/runs/ID`. */
function takeTokenFromFragment() {
  if (!location.hash.startsWith("#token=")) return;
  const given = new URLSearchParams(location.hash.slice(1));
  keepToken(given.get("token"));
  // Out of the address bar, the history and whatever is copied from them.
  history.replaceState(null, "", `${location.pathname}#${given.get("to") ?? "/devices"}`);
}

function keepToken(token) {
  state.token = token || null;
  state.meta = null;
  stored((storage) => storage.setItem(TOKEN_KEY, token ?? ""));
}

function forgetToken() {
  keepToken(null);
}

/** A browser that keeps nothing for this page still shows it, and asks again after a reload. */
function stored(use) {
  try {
    return use(sessionStorage);
  } catch (error) {
    if (error instanceof DOMException) return null;
    throw error;
  }
}

function askForToken(reason) {
  state.drawn = null;
  byId("main").replaceChildren();
  byId("main").hidden = true;
  byId("nav").hidden = true;
  setText(byId("version"), "");
  setText(byId("token-reason"), reason);
  document.title = "fleetmark";
  report("locked", "");
  if (byId("token-form").hidden) {
    byId("token-form").hidden = false;
    byId("token").focus();
  }
}

// --- what people do --------------------------------------------------------------------------

async function cancel(button) {
  if (!window.confirm(`${button.getAttribute("aria-label")}? Its runs that are not over end without a result.`)) {
    return;
  }
  button.disabled = true;
  try {
    await call(`/api/v1/jobs/${encodeURIComponent(button.dataset.cancel)}/cancel`, "POST");
    complain(null);
  } catch (error) {
    button.disabled = false;
    if (state.abort.signal.aborted) return;
    if (error instanceof Refused) failed(error, currentRoute());
    else complain(`The job was not cancelled: ${error.message}`);
    return;
  }
  restart();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-cancel]");
  if (button) cancel(button);
});

document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-filter]")) return;
  state.filter = event.target.value.trim();
  const { route, data, draw } = state.shown;
  show(route, data, draw);
});

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(byId("token").value.trim());
  byId("token").value = "";
  restart();
});

// A plain `#main` would be taken for a route.
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});

window.addEventListener("hashchange", () => {
  takeTokenFromFragment();
  complain(null);
  state.filter = "";
  // The link that was followed is about to go, and the focus with it.
  if (byId("main").contains(document.activeElement)) byId("main").focus();
  window.scrollTo(0, 0);
  restart();
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) restart();
});

state.token = stored((storage) => storage.getItem(TOKEN_KEY)) || null;
takeTokenFromFragment();
restart();
