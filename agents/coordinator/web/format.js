// Values arrive in SI base units and are formatted for people only here.

import { session } from "./session.js";

const TIME_UNITS = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]];
const JOULE_UNITS = [[1e3, "kJ"], [1, "J"], [1e-3, "mJ"], [1e-6, "µJ"], [1e-9, "nJ"]];
const BYTE_UNITS = [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]];
const HERTZ_UNITS = [[1e9, "GHz"], [1e6, "MHz"], [1e3, "kHz"], [1, "Hz"]];
const WATT_UNITS = [[1e3, "kW"], [1, "W"], [1e-3, "mW"]];
const PLAIN = [[1, ""]];

/** Units by the end of a quantity's name: `power_watts`, `latency_seconds`, … */
const UNITS = {
  seconds: TIME_UNITS, joules: JOULE_UNITS, bytes: BYTE_UNITS, hertz: HERTZ_UNITS,
  watts: WATT_UNITS, celsius: [[1, "°C"]], ratio: [[0.01, "%"]],
};

export const unitsOf = (quantity) => UNITS[quantity.split("_").pop()] ?? PLAIN;

/** The unit in which a value of this size is said: `[size, name]`. */
export const unitFor = (value, units) =>
  units.find(([size]) => Math.abs(value) >= size) ?? units[units.length - 1];

export function number(value, digits = 4) {
  return new Intl.NumberFormat("en", { maximumSignificantDigits: digits }).format(value);
}

export function quantity(value, units, digits = 4) {
  if (value === 0) return `0 ${(units.find(([size]) => size === 1) ?? units[0])[1]}`.trim();
  const [size, name] = unitFor(value, units);
  return `${number(value / size, digits)} ${name}`.trim();
}

export const seconds = (value, digits) => quantity(value, TIME_UNITS, digits);
export const joules = (value) => quantity(value, JOULE_UNITS);
export const bytes = (value) => quantity(value, BYTE_UNITS);
export const watts = (value) => quantity(value, WATT_UNITS);
export const percent = (ratio, digits = 2) => `${number(100 * ratio, digits)} %`;
export const count = (value) => new Intl.NumberFormat("en").format(value);

/** `1.032` → `+3.2 %`. */
export const change = (ratio) =>
  Math.abs(ratio - 1) < 5e-4 ? "0 %" : `${ratio >= 1 ? "+" : "−"}${number(100 * Math.abs(ratio - 1), 2)} %`;

/** A value and its interval in one unit, with no more decimals than the interval supports. */
export function withInterval({ value, low, high }) {
  if (low === null || high === null) return { value: seconds(value), interval: "no interval" };
  const [size, name] = unitFor(value, TIME_UNITS);
  const half = (high - low) / 2 / size;
  const wanted = half > 0 ? 1 - Math.floor(Math.log10(half)) : 3;
  const most = 4 - Math.floor(Math.log10(Math.max(value / size, 1)));
  const decimals = Math.max(0, Math.min(wanted, most, 6));
  const text = (x) => (x / size).toFixed(decimals);
  return { value: `${text(value)} ${name}`, interval: `${text(low)} – ${text(high)}` };
}

export function ago(iso) {
  const passed = (Date.now() + session.clockOffset - Date.parse(iso)) / 1000;
  // A device whose clock is ahead says when something ended; it is not yet then.
  if (passed < -60) return `${span(-passed)} ahead of the coordinator's clock`;
  return passed < 2 ? "just now" : `${span(passed)} ago`;
}

/** When a run ended: by the coordinator's clock where the device's is known to be wrong. */
export const endOf = (run) => (run.clock_offset_seconds !== null && run.received_at) || run.finished_at;

/** "its clock is 3 h ahead"; `null` where it may be right. */
export const clockWords = (offset) =>
  offset === null || offset === undefined ? null : `its clock is ${span(Math.abs(offset))} ${offset > 0 ? "ahead" : "behind"}`;

function span(passed) {
  if (passed < 120) return `${Math.round(passed)} s`;
  if (passed < 7200) return `${Math.round(passed / 60)} min`;
  if (passed < 172800) return `${Math.round(passed / 3600)} h`;
  return `${Math.round(passed / 86400)} days`;
}

/** `about 2 min`, of a number of seconds. */
export function duration(value) {
  if (value < 90) return `${Math.round(value)} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  return `${number(value / 3600, 2)} h`;
}

export const clock = (date) =>
  date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const day = (date) =>
  date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
export const words = (name) => String(name).replaceAll("_", " ");
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
export const shortId = (id) => (id.length > 20 ? `${id.slice(0, 20)}…` : id);
/** Enough of an id to tell two apart; where there is no room for all of it. */
export const stub = (id) => id.slice(0, 8);
export const isOver = (name) => ["succeeded", "failed", "cancelled"].includes(name);

/** "devices 'x' selects nothing. Say all, or names." from a Problem. */
export function sentence({ field, value, problem, remedy }) {
  const subject = [field, value === null || value === undefined ? null : `“${value}”`];
  const text = [...subject.filter(Boolean), problem].join(" ");
  return [text, remedy].filter(Boolean).map((part) => part.replace(/\.?$/, ".")).join(" ");
}
