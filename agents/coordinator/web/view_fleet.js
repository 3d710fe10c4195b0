// The fleet: how many devices do what, what runs now, and the devices themselves.

import { h } from "./dom.js";
import { bytes, count, plural } from "./format.js";
import { badge, command, deviceLink, empty, labels, pathWith, resultTable, runItem, runProgress, tile, when } from "./parts.js";
import { session } from "./session.js";
import { filterRow, pager } from "./lists.js";

const PAGE = 60;

export const fleet = {
  title: "Fleet",
  nav: "#/devices",
  topic: () => "overview",
  // Which devices there are, and what they do.
  changed: ({ states, running, queued }) => JSON.stringify([states, running.map((run) => run.id), queued]),
  async load(calls, { words, state, offset }) {
    const asked = { words, state, offset, limit: PAGE };
    const [overview, devices] = await Promise.all([
      calls.get("/api/v1/page/overview"), calls.get("/api/v1/page/devices", asked)]);
    return { overview, devices };
  },
  live: (data, overview) => ({ ...data, overview }),
  draw,
};

const all = (states) => Object.values(states).reduce((sum, n) => sum + n, 0);

function draw({ overview, devices }, params) {
  const total = all(devices.states);
  if (total === 0) return [h("h1", {}, "Fleet"), noDevice()];
  const here = overview.states.online + overview.states.busy;
  return [
    h("div", { class: "head" }, h("h1", {}, "Fleet"),
      h("a", { class: "button", href: "#/register" }, "Add a device")),
    h("dl", { class: "tiles" },
      tile("Devices here", [count(here), h("small", {}, `of ${count(total)}`)]),
      tile("Measuring", [count(overview.states.busy), h("small", {}, `${count(overview.states.online)} idle`)]),
      tile("Runs waiting", [count(overview.queued), h("small", {}, `in ${plural(overview.open_jobs, "open job")}`)]),
      tile("Results", [count(overview.results), h("small", {}, h("a", { href: "#/results" }, "see them"))])),
    overview.running.length > 0 && h("section", { class: "card", "data-key": "now" },
      h("h2", {}, "Running now"), h("ul", { class: "runs" }, overview.running.map(runItem))),
    total > 0 && overview.results === 0 && overview.running.length === 0 && h("p", { class: "hint card" },
      "The fleet is ready. ", h("a", { href: "#/submit" }, "Submit a model"), " to measure it on every device."),
    h("section", { "data-key": "devices", "aria-label": "Devices" },
      h("div", { class: "head" }, h("h2", {}, "Devices"), states(devices.states, params.state)),
      filterRow("devices", params, "Name or label, such as room=lab"),
      devices.devices.length > 0
        ? h("div", { class: "grid" }, devices.devices.map(deviceCard))
        : h("p", { class: "empty card" }, "No device has all of these words."),
      pager("devices", params, PAGE, devices.matching)),
    overview.latest.length > 0 && h("section", { "data-key": "latest" },
      h("h2", {}, "Latest results"), resultTable("Latest results", overview.latest)),
  ].filter(Boolean);
}

const states = (counts, chosen) => h("p", { class: "filters" },
  Object.entries(counts).filter(([name, n]) => n > 0 || name === chosen).map(([name, n]) =>
    h("a", { class: "choice", href: pathWith("devices", { state: name === chosen ? null : name }),
      "aria-current": name === chosen ? "true" : false }, `${name} ${count(n)}`)));

const noDevice = () => empty("No device has joined yet",
  h("p", {}, "A device is a machine that measures: a board, a laptop, a server. Each runs ",
    h("code", {}, "fleetmark agent"), "; this machine can be one too."),
  command(session.meta.join_command),
  h("p", {}, h("a", { class: "button", href: "#/register" }, "How to add a device")));

function deviceCard(device) {
  const run = device.running;
  return h("article", { class: "card device", "data-key": device.name },
    h("header", {}, h("h3", {}, deviceLink(device.name)), badge(device.state)),
    device.state_reason && h("p", { class: "reason" }, device.state_reason),
    h("p", { class: "muted" }, [device.board ?? device.kind, device.cpu_model, plural(device.cpu_count, "core"),
      device.memory_total_bytes !== null && bytes(device.memory_total_bytes)].filter(Boolean).join(" · ")),
    device.accelerators.length > 0 && h("p", {}, device.accelerators.join(", ")),
    h("p", { class: "small" }, device.runtimes.join(" · ") || "no runtime is installed"),
    h("p", { class: "small muted" }, device.energy_sources.length
      ? `energy: ${device.energy_sources.join(", ")}` : "no energy sensor"),
    Object.keys(device.labels).length > 0 && labels(device.labels),
    run && h("div", { class: "doing" }, h("p", {}, h("a", { href: `#/runs/${run.id}` }, run.spec.model.name),
      h("span", { class: "muted" }, ` · ${run.spec.runtime}`)), runProgress(run.progress, `${run.spec.model.name} on ${device.name}`)),
    h("p", { class: "small muted foot" }, device.queued > 0 && `${plural(device.queued, "run")} waiting · `,
      "last seen ", device.last_seen_at ? when(device.last_seen_at) : "never"));
}

// --- how a device joins ----------------------------------------------------------------------

export const register = {
  title: "Add a device",
  nav: "#/devices",
  topic: () => "overview",
  load: (calls) => calls.get("/api/v1/page/overview"),
  live: (_, overview) => overview,
  draw(overview) {
    const { meta } = session;
    const minor = meta.python.split(".").slice(0, 2).join(".");
    const joined = all(overview.states);
    return [
      h("p", { class: "crumbs" }, h("a", { href: "#/devices" }, "Fleet"), " / Add a device"),
      h("h1", {}, "Add a device"),
      h("ol", { class: "steps" },
        h("li", { class: "card" }, h("h2", {}, "Install fleetmark there"),
          h("p", {}, "In a virtual environment", minor && ` of Python ${minor}`,
            ", the version that the coordinator has. Take the extras that the device can use: ",
            h("code", {}, "torch"), " and ", h("code", {}, "onnx"), " are runtimes, ",
            h("code", {}, "nvidia"), " reads the power of NVIDIA GPUs."),
          command("pip install 'fleetmark[agent,torch,onnx]'"),
          meta.ray && h("p", { class: "muted" }, `Ray must be ${meta.ray} there as well; pip install ray==${meta.ray} sees to it.`)),
        h("li", { class: "card" }, h("h2", {}, "Copy the agents' token"),
          h("p", {}, "It lets a device join, and nothing else. On the coordinator's machine it is"),
          h("pre", {}, h("code", {}, meta.agent_token_file || "agent.token, in the coordinator's tokens folder")),
          h("p", { class: "muted" }, "Copy the file; do not send the token itself through a chat.")),
        h("li", { class: "card" }, h("h2", {}, "Start the agent on the device"),
          command(`${meta.join_command} --name NAME`),
          h("p", {}, "Say ", h("code", {}, "--label room=lab"), " to give it labels that a submission can choose by. ",
            "It must reach this address: ", h("code", {}, meta.url), "."))),
      h("p", { role: "status", class: "hint card" }, joined === 0
        ? "Waiting for the first device. It appears here by itself."
        : [`${plural(joined, "device")} registered, ${count(overview.states.online + overview.states.busy)} here now. `,
          h("a", { href: "#/devices" }, "See the fleet"), "."]),
    ];
  },
};
