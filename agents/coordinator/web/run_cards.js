// Cards of a run's page that only lay out what the result says.

import { h } from "./dom.js";
import { bytes, count, joules, number, percent, plural, seconds, words } from "./format.js";
import { facts, known, percentile, section, table, why } from "./parts.js";

export function peakMemory({ memory, memory_reason: reason }) {
  if (!memory) return why(reason);
  return known(memory.peak_rss_bytes, bytes, memory.peak_rss_reason);
}

export function repetitionsCard(repetitions) {
  return section("Repetitions",
    h("p", { class: "muted" }, "Each is a fresh process. Load and first call are cold figures: they "
      + "are not in the distribution."),
    table("Repetitions", ["Nr.", "#Median", "#Load", "#First call", "#Warm-up", "#Iterations"],
      repetitions.map((each) => ({ key: `${each.index}`, cells: [
        `${each.index + 1}`,
        seconds(each.median_seconds),
        seconds(each.load_seconds),
        seconds(each.first_inference_seconds),
        `${seconds(each.warmup_seconds)} (${count(each.warmup_iterations)})`,
        count(each.iterations),
      ] }))));
}

export const memoryCard = (memory) => section("Memory",
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

export function energyCard(energy) {
  const rows = [energy.headline, ...energy.others].map((figure) => {
    const from = figure.provenance;
    return { key: `${from.source}/${from.channel}`, cells: [
      h("span", { class: "name" }, `${from.source} ${from.channel}`),
      joules(figure.joules_per_item),
      `${number(figure.mean_power_watts)} W`,
      from.scope,
      `${from.quality}, ± ${percent(from.uncertainty)}`,
    ] };
  });
  const { headline } = energy;
  const bounds = headline.joules_per_item_interval;
  return section("Energy",
    table("Energy", ["Source", "#Per item", "#Mean power", "Scope", "Quality"], rows),
    facts(
      bounds && bounds.low !== null && ["95 % interval, per item", `${joules(bounds.low)} – ${joules(bounds.high)}`],
      headline.idle && ["Idle power, in the figures", `${number(headline.idle.watts)} W`],
      headline.net_energy_joules !== null && headline.items
        && ["Per item, less idle power", joules(headline.net_energy_joules / headline.items)]));
}

export function throttlingCard({ throttling: it, throttling_reason: reason }) {
  if (!it) return reason ? section("Throttling", h("p", { class: "muted" }, reason)) : null;
  if (it.causes.length === 0) return section("Throttling", h("p", {}, "None: no sensor that tells of it told of any."));
  return section("Throttling",
    facts(["Of the time", percent(it.share)], ["Of the iterations", percent(it.iterations_share)]),
    table("Causes of throttling", ["Cause", "Told by", "#Of the time"], it.causes.map((each) => ({
      key: `${each.source}/${each.cause}`, cells: [words(each.cause), each.source, percent(each.share)] }))));
}

export function speedCard(run) {
  const { sentinel, over_runs: runs, at_usual_speed: usual } = run;
  return section("The device's own speed",
    facts(
      ["A fixed small network, the sentinel", known(sentinel, (it) => seconds(it.seconds.value), run.sentinel_reason)],
      sentinel && ["It changed within a repetition by", percent(sentinel.drift)],
      sentinel && ["p50 in units of the sentinel", known(sentinel.relative_p50, units, sentinel.relative_p50_reason)],
      ["p50 from run to run", known(runs, (it) => among(it, it.of === "device" && "other configurations"), run.over_runs_reason)],
      ["p50 at the device's usual speed", known(usual, (it) => among(it), run.at_usual_speed_reason)],
      usual && ["How much it follows the sentinel", `exponent ${number(usual.exponent, 2)}`]));
}

const units = ({ value, low, high }) =>
  [number(value, 3), low !== null && h("small", {}, `${number(low, 3)} – ${number(high, 3)}`)];

const among = ({ p50, runs }, of) =>
  [...percentile({ p50 }, "p50"), h("small", {}, plural(runs, "run"), of && ` of ${of}`)];

export function sensorsCard(run) {
  // What this kind of device does not have, nobody misses.
  const absent = run.sensors_absent.filter((each) => each.expected);
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

export function modelCard(run) {
  const { model_info: info } = run;
  return section("Model",
    facts(
      ["Source", info.source],
      ["Parameters", known(info.parameters, count, info.parameters_reason)],
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

export function environmentCard({ environment: it, environment_reason: reason }) {
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
