// Submit a model: a file or an architecture, on which devices, with which values of each axis. How
// many runs that makes is told before it starts, by the coordinator, which also says what is wrong.

import { byId, h } from "./dom.js";
import { bytes, count, duration, percent, plural } from "./format.js";
import { command, path } from "./parts.js";
import { Refused } from "./api.js";

const RUNTIMES = ["torch", "torchscript", "torch_export", "onnxruntime"];
const PRECISIONS = ["fp32", "fp16", "bf16"];
const SCENARIOS = [["single_stream", "single stream"], ["offline", "offline"], ["sustained", "sustained"]];
const SHOWN_NAMES = 24;
const WAIT_MS = 350;

// What has been entered; it stays while other views are looked at.
const form = { model: null, uploading: null, problem: null, preview: null, timer: null, busy: false, turn: 0 };

export const submit = {
  title: "Submit a model",
  nav: "#/submit",
  topic: () => null,
  async load(calls) {
    const [names, devices] = await Promise.all([
      calls.get("/api/v1/page/architectures"), calls.get("/api/v1/page/devices", { limit: SHOWN_NAMES })]);
    return { names: names.names, devices, form: {} };
  },
  draw,
  shown: (context) => soon(context, 0),
};

function draw({ names, devices }, params) {
  const total = Object.values(devices.states).reduce((sum, n) => sum + n, 0);
  return [
    h("h1", {}, "Submit a model"),
    total === 0 && h("p", { class: "hint card" }, "No device has joined yet, so nothing can be measured. ",
      h("a", { href: "#/register" }, "Add a device"), " first."),
    h("form", { id: "submit", "data-act": "submit", novalidate: true, autocomplete: "off" },
      h("div", {}, modelCard(names), devicesCard(devices, total, params), axesCard()),
      h("section", { class: "card start", "data-key": "start" }, h("h2", {}, "Start"), outlook())),
  ].filter(Boolean);
}

function modelCard(names) {
  const { model, uploading } = form;
  return h("section", { class: "card", "data-key": "model" }, h("h2", {}, "Model"),
    h("label", { class: "drop", for: "file", "data-drop": true },
      h("input", { type: "file", id: "file", class: "unseen", accept: ".onnx,.pt,.pt2", "data-act": "file" }),
      h("strong", {}, "Drop a model file here, or choose one"),
      h("span", { class: "muted" }, "ONNX (.onnx), TorchScript (.pt) or torch.export (.pt2)")),
    uploading !== null && h("div", { class: "progress" },
      h("progress", { max: 1, value: uploading.fraction, "aria-label": `Upload of ${uploading.name}` }),
      h("span", {}, `${uploading.name} · ${percent(uploading.fraction)}`)),
    model && h("p", { role: "status" }, h("strong", {}, model.name), ` · ${model.format.replaceAll("_", " ")} · ${bytes(model.size_bytes)} `,
      h("button", { type: "button", class: "quiet", "data-act": "forget" }, "Take another")),
    !model && h("p", { class: "field" }, h("label", { for: "name" }, "or name an architecture, with random weights"),
      h("input", { id: "name", list: "names", placeholder: "torchvision:resnet18", "data-act": "field", spellcheck: "false", autocapitalize: "off" }),
      h("datalist", { id: "names" }, names.map((name) => h("option", { value: name })))),
    problemOf("model"));
}

function devicesCard({ devices }, total, params) {
  const chosen = byId("devices")?.value ?? params.devices ?? "all";
  const names = chosen.split(",").map((name) => name.trim());
  return h("section", { class: "card", "data-key": "devices" }, h("h2", {}, "Devices"),
    h("p", { class: "field" }, h("label", { for: "devices" }, "all, names, or labels such as room=lab"),
      h("input", { id: "devices", value: chosen, "data-act": "field", spellcheck: "false", autocapitalize: "off", required: true })),
    h("p", { class: "filters", role: "group", "aria-label": "Devices to choose" },
      devices.map((each) => h("button", { type: "button", class: "choice", "data-act": "toggle", "data-name": each.name,
        "aria-pressed": `${names.includes("all") || names.includes(each.name)}` },
        each.name, each.state === "offline" && h("span", { class: "muted" }, " offline"))),
      total > devices.length && h("span", { class: "muted" }, `and ${count(total - devices.length)} others, by name or label`)),
    problemOf("devices"));
}

function axesCard() {
  const boxes = (name, values, checked) => h("fieldset", {}, h("legend", {}, name[0].toUpperCase() + name.slice(1)),
    values.map((value) => h("label", { class: "check" },
      h("input", { type: "checkbox", name, value, "data-act": "field", checked: checked.includes(value) }), value.replaceAll("_", " "))));
  const field = (id, text, value, note) => h("p", { class: "field" }, h("label", { for: id }, text),
    h("input", { id, value, inputmode: "numeric", "data-act": "field", "aria-describedby": note ? `${id}-note` : null }),
    note && h("small", { id: `${id}-note` }, note));
  return h("section", { class: "card", "data-key": "axes" }, h("h2", {}, "How it is measured"),
    h("p", { class: "muted" }, "Every combination of these values is a run on each device."),
    boxes("runtime", RUNTIMES, []), h("p", { class: "small muted" }, "None chosen: the model's own."),
    problemOf("runtime"),
    boxes("precision", PRECISIONS, ["fp32"]), problemOf("precision"),
    h("div", { class: "fields" },
      field("batch", "Batch sizes", "1", "such as 1, 8"),
      field("threads", "Threads", "", "empty: the device's choice"),
      field("repetitions", "Repetitions", "7", "fresh processes per run"),
      field("time", "Seconds per run", "10", "of measuring, at most"),
      h("p", { class: "field" }, h("label", { for: "scenario" }, "Scenario"),
        h("select", { id: "scenario", "data-act": "field" }, SCENARIOS.map(([value, text]) => h("option", { value }, text))),
        h("small", {}, "how calls come"))),
    problemOf("batch_size"), problemOf("threads"), problemOf("axes"), problemOf("repetitions"), problemOf("max_time_seconds"), problemOf("scenario"));
}

const KNOWN = ["model", "devices", "runtime", "precision", "batch_size", "threads", "axes", "repetitions", "max_time_seconds", "scenario"];
const fieldOf = (problem) => KNOWN.find((name) => problem.field?.split(".").includes(name)) ?? null;

/** What the coordinator says of a field, beside it. */
const problemOf = (name) => h("p", { class: "reason", role: "alert", "data-key": `problem-${name}`, hidden: !(form.problem && fieldOf(form.problem.problem) === name) },
  form.problem && fieldOf(form.problem.problem) === name ? form.problem.message : "");

function outlook() {
  const { preview, problem, busy } = form;
  const ready = preview !== null && !busy;
  return [
    h("p", { role: "status", id: "outlook" }, problem
      ? h("span", { class: "reason" }, fieldOf(problem.problem) ? "Not yet: see above what is to be mended." : problem.message)
      : preview ? [h("strong", {}, plural(preview.runs, "run")), ` on ${plural(preview.devices.length, "device")}, ${plural(preview.runs_per_device, "run")} on each: `,
        `up to ${duration(preview.seconds_per_device)} of measuring per device, loading not counted.`]
        : form.model || byId("name")?.value ? "…" : "Choose a model to see how many runs it makes."),
    h("p", {}, h("button", { type: "submit", disabled: !ready }, preview ? `Start ${plural(preview.runs, "run")}` : "Start")),
    h("details", {}, h("summary", {}, "The same in a terminal"), command(asCommand())),
  ];
}

// --- what was entered ------------------------------------------------------------------------

const valueOf = (id) => byId(id)?.value.trim() ?? "";
const checked = (name) => [...document.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value);
const numbers = (text) => text.split(/[\s,]+/).filter(Boolean).map((each) => (/^\d+$/.test(each) ? Number(each) : each));

function request() {
  const [library, ...name] = valueOf("name").split(":");
  const model = form.model ?? { kind: "architecture", library, name: name.join(":") };
  const threads = numbers(valueOf("threads"));
  return {
    model,
    devices: valueOf("devices"),
    axes: { runtime: checked("runtime"), precision: checked("precision"), batch_size: numbers(valueOf("batch")),
      ...(threads.length ? { threads } : {}) },
    repetitions: numbers(valueOf("repetitions"))[0] ?? null,
    max_time_seconds: Number(valueOf("time")) || valueOf("time"),
    scenario: valueOf("scenario") || "single_stream",
  };
}

function asCommand() {
  if (!byId("name") && !form.model) return "fleetmark submit torchvision:resnet18";
  const runtime = checked("runtime");
  const precision = checked("precision");
  return ["fleetmark submit", form.model ? `./${form.model.name}` : valueOf("name") || "torchvision:resnet18",
    `--devices '${valueOf("devices") || "all"}'`,
    runtime.length && `--runtime ${runtime.join(",")}`,
    precision.join() !== "fp32" && `--precision ${precision.join(",")}`,
    valueOf("batch") && valueOf("batch") !== "1" && `--batch-size ${numbers(valueOf("batch")).join(",")}`,
    valueOf("threads") && `--threads ${numbers(valueOf("threads")).join(",")}`].filter(Boolean).join(" ");
}

const named = () => form.model !== null || valueOf("name") !== "";

/** Ask what the job would be, once nobody has typed for a moment. */
function soon(context, wait = WAIT_MS) {
  clearTimeout(form.timer);
  if (!named()) [form.preview, form.problem] = [null, null];
  // Which devices are chosen shows at once.
  context.redraw();
  if (!named()) return;
  form.timer = setTimeout(() => ask(context), wait);
}

async function ask({ calls, redraw, fail }) {
  form.turn += 1;
  const mine = form.turn;
  try {
    const preview = await calls.post("/api/v1/page/preview", request());
    if (mine !== form.turn) return;
    [form.preview, form.problem] = [preview, null];
  } catch (error) {
    if (calls.over || mine !== form.turn) return;
    form.preview = null;
    if (error instanceof Refused || !error.problem) return void fail(error);
    form.problem = error;
  }
  redraw();
}

async function upload(file, context) {
  [form.model, form.problem, form.preview] = [null, null, null];
  form.uploading = { name: file.name, fraction: 0 };
  context.redraw();
  try {
    form.model = await context.calls.upload(file, (fraction) => {
      form.uploading = { name: file.name, fraction };
      context.redraw();
    });
  } catch (error) {
    if (error instanceof Refused) return context.fail(error);
    form.problem = error.problem ? error : { problem: { field: "model" }, message: `The file was not sent: ${error.message}.` };
    if (error.problem && !fieldOf(error.problem)) form.problem = { problem: { ...error.problem, field: "model" }, message: error.message };
  } finally {
    form.uploading = null;
  }
  context.redraw();
  if (form.model) soon(context, 0);
  return undefined;
}

export const actions = {
  field: (_, context) => soon(context),
  file(input, context) {
    const [file] = input.files;
    input.value = "";
    if (file) upload(file, context);
  },
  drop: (file, context) => upload(file, context),
  forget(_, context) {
    form.model = null;
    soon(context, 0);
  },
  toggle(button, context) {
    const field = byId("devices");
    const names = field.value.split(",").map((name) => name.trim()).filter((name) => name && name !== "all");
    const { name } = button.dataset;
    const left = names.includes(name) ? names.filter((each) => each !== name) : [...names, name];
    field.value = left.join(",") || "all";
    soon(context, 0);
  },
  async submit(_, { calls, redraw, fail }) {
    if (form.preview === null || form.busy) return;
    form.busy = true;
    redraw();
    try {
      const { job } = await calls.post("/api/v1/jobs", request());
      [form.model, form.preview] = [null, null];
      location.hash = path("jobs", job.id);
    } catch (error) {
      if (error instanceof Refused || !error.problem) fail(error);
      else form.problem = error;
    } finally {
      form.busy = false;
      redraw();
    }
  },
};
