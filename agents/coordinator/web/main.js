// The embedded page: one view at a time.
//
//   fragment ─▶ route ─▶ load (GET) ─▶ draw (plain DOM) ─▶ morph into <main>
//                            ▲
//                            └── server-sent events: the view itself, or news that it is old
//
// A view has `title`, `nav`, `load(calls, params)`, `draw(data, params)`, and `topic(params)`, what
// to follow or null. `live(data, event)` makes its data anew from an event; where an event changes
// what `changed(event)` returns, the view is loaded again.

import { ApiProblem, Calls, download, Refused, Unreachable } from "./api.js";
import { followPointer, hide } from "./charts.js";
import { byId, h, morph, setText } from "./dom.js";
import { ago, clock } from "./format.js";
import { pathWith } from "./parts.js";
import { forgetToken, keepToken, nextTheme, recallToken, session, showTheme, takeTokenFromFragment, theme } from "./session.js";
import { compare } from "./view_compare.js";
import { device } from "./view_device.js";
import { fleet, register } from "./view_fleet.js";
import { history as historyView } from "./view_history.js";
import { actions as jobActions, job, jobs } from "./view_jobs.js";
import { actions as resultActions, results } from "./view_results.js";
import { run } from "./view_run.js";
import { actions as submitActions, submit } from "./view_submit.js";

const RETRY_MS = 1500;
// However fast news come, a list is not loaded more often.
const RELOAD_MS = 1000;
const TYPED_MS = 250;

const ROUTES = [
  [/^#\/devices\/([^/]+)$/, device], [/^#\/jobs$/, jobs], [/^#\/jobs\/([^/]+)$/, job],
  [/^#\/submit$/, submit], [/^#\/results$/, results], [/^#\/runs\/([^/]+)$/, run],
  [/^#\/compare$/, compare], [/^#\/history$/, historyView], [/^#\/register$/, register], [/^/, fleet],
];

const state = { calls: null, view: null, params: null, data: null, drawn: null, last: null, seen: null,
  heardAt: null, version: null, timer: null, reloading: null, typed: null };

function currentRoute() {
  const [name, query] = location.hash.split("?");
  const [pattern, view] = ROUTES.find(([each]) => each.test(name));
  const [, id] = name.match(pattern);
  const params = Object.fromEntries(new URLSearchParams(query ?? ""));
  return { view, params: id === undefined ? params : { ...params, id: decodeURIComponent(id) } };
}

// --- the loop --------------------------------------------------------------------------------

/** Open what the address says, from the start. */
async function open() {
  clearTimeout(state.timer);
  // Words that were just typed are of the view that is left.
  clearTimeout(state.typed);
  state.calls?.end();
  const calls = new Calls();
  Object.assign(state, { calls, ...currentRoute(), data: null, last: null, seen: null });
  if (!session.token) {
    askForToken("This page shows a fleet to whoever has its token.");
    return;
  }
  await turn(calls);
}

async function turn(calls) {
  try {
    session.meta ??= await calls.get("/api/v1/meta");
    // These scripts are of the version that was there when the page was opened.
    state.version ??= session.meta.version;
    if (state.version !== session.meta.version) {
      location.reload();
      return;
    }
    setText(byId("version"), `fleetmark ${session.meta.version} at ${session.meta.url}`);
    await load(calls);
    if (calls.over) return;
    state.view.shown?.(context());
    const topic = state.view.topic(state.params);
    if (topic) await follow(calls, topic);
  } catch (error) {
    failed(error, calls);
  }
}

async function load(calls) {
  const data = await state.view.load(calls, state.params);
  if (calls.over) return;
  state.data = data;
  heard();
  redraw();
  const filter = byId("filter");
  // The address says what is filtered, unless somebody is just typing.
  if (filter && filter !== document.activeElement) filter.value = state.params.words ?? "";
}

async function follow(calls, topic) {
  await calls.follow(topic, state.last, {
    open: heard,
    view(event, id) {
      heard();
      state.last = id;
      const news = state.view.changed?.(event);
      const old = state.seen;
      state.seen = news;
      if (state.view.live) state.data = state.view.live(state.data, event);
      redraw();
      if (state.view.changed && old !== null && news !== old) reloadSoon(calls);
    },
  });
}

function reloadSoon(calls) {
  state.reloading ??= setTimeout(async () => {
    state.reloading = null;
    if (calls.over) return;
    try {
      await load(calls);
    } catch (error) {
      failed(error, calls);
    }
  }, RELOAD_MS);
}

function heard() {
  state.heardAt = new Date();
  report("connected", "Connected");
}

function failed(error, calls = state.calls) {
  if (calls.over) return;
  if (error instanceof Refused) {
    forgetToken();
    askForToken("The coordinator does not accept this token.");
  } else if (error instanceof ApiProblem) {
    heard();
    show(state.view, { problem: error.message }, () => [
      h("h1", {}, state.view.title), h("p", { class: "empty card", role: "alert" }, error.message)]);
  } else if (error instanceof Unreachable) {
    // What comes back may be another version.
    session.meta = null;
    const since = state.heardAt ? ` What you see is from ${clock(state.heardAt)}.` : "";
    report("lost", `The coordinator does not answer (${error.message}). Trying again.${since}`);
    state.timer = setTimeout(() => turn(calls), RETRY_MS);
  } else {
    report("lost", "This page failed; reload it. The browser's console says why.");
    throw error;
  }
}

// --- what is shown ---------------------------------------------------------------------------

let drawing = false;

function redraw() {
  // A field that is taken away while it has the focus says so in the midst of it.
  if (drawing) queueMicrotask(redraw);
  else if (state.data !== null) show(state.view, state.data, () => state.view.draw(state.data, state.params));
}

function show(view, data, draw) {
  byId("nav").hidden = false;
  byId("token-form").hidden = byId("locked").hidden = true;
  byId("main").hidden = false;
  for (const link of byId("nav").querySelectorAll("a")) {
    if (link.getAttribute("href") === view.nav) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const wanted = document.createElement("main");
  // A view of its own: nothing of the one before is matched.
  wanted.append(h("div", { "data-key": location.hash.split("?")[0] }, draw()));
  drawing = true;
  try {
    morph(byId("main"), wanted);
  } finally {
    drawing = false;
  }
  const heading = [...(byId("main").querySelector("h1")?.childNodes ?? [])]
    .filter((node) => !node.classList?.contains("badge")).map((node) => node.textContent).join("").trim();
  document.title = `${heading || view.title} · fleetmark`;
}

// Spoken by screen readers, so only a change is written.
function report(name, text) {
  byId("status").className = name;
  setText(byId("status"), text);
}

function complain(error, what) {
  if (error instanceof Refused) return failed(error);
  const text = error ? `${what}: ${error.message}` : "";
  byId("alert").hidden = !text;
  return setText(byId("alert"), text);
}

function askForToken(reason) {
  state.data = null;
  hide();
  byId("main").replaceChildren();
  byId("main").hidden = true;
  byId("nav").hidden = true;
  setText(byId("version"), "");
  setText(byId("token-reason"), reason);
  document.title = "fleetmark";
  report("locked", "");
  if (byId("token-form").hidden) {
    byId("token-form").hidden = byId("locked").hidden = false;
    byId("token").focus();
  }
}

// --- what people do --------------------------------------------------------------------------

const context = () => ({ calls: state.calls, redraw, complain, fail: failed, reload: () => reloadSoon(state.calls) });

const actions = {
  ...jobActions, ...resultActions, ...submitActions,
  async download(button) {
    try {
      await download(state.calls, button.dataset.from, button.dataset.name);
      complain(null);
    } catch (error) {
      complain(error, "Nothing was downloaded");
    }
  },
};

function act(event, kinds) {
  const element = event.target.closest?.("[data-act]");
  if (element && kinds.includes(element.nodeName)) actions[element.dataset.act]?.(element, context());
}

document.addEventListener("click", (event) => act(event, ["BUTTON"]));
document.addEventListener("change", (event) => {
  act(event, ["INPUT", "SELECT"]);
  const { param, view } = event.target.dataset ?? {};
  if (param) location.hash = pathWith(view, { ...state.params, [param]: event.target.value, series: null });
});

document.addEventListener("input", (event) => {
  if (event.target.matches("input[data-act=field]:not([type=checkbox])")) act(event, ["INPUT"]);
  if (!event.target.matches("[data-filter]")) return;
  const { filter } = event.target.dataset;
  const words = event.target.value.trim();
  clearTimeout(state.typed);
  state.typed = setTimeout(() => {
    // No new entry in the history for every letter.
    history.replaceState(null, "", pathWith(filter, { ...state.params, words, offset: null, before: null }));
    open();
  }, TYPED_MS);
});

document.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.target.id === "token-form") {
    keepToken(byId("token").value.trim());
    byId("token").value = "";
    open();
  } else act(event, ["FORM"]);
});

for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    const zone = document.querySelector("[data-drop]");
    if (!zone) return;
    // Beside the zone too: else the browser would open the file in place of this page.
    event.preventDefault();
    zone.classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files[0]) actions.drop(event.dataTransfer.files[0], context());
  });
}

// A plain `#main` would be taken for a route.
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});

window.addEventListener("hashchange", () => {
  takeTokenFromFragment();
  complain(null);
  hide();
  const same = state.view === currentRoute().view;
  // The link that was followed is about to go, and the focus with it.
  if (!same && byId("main").contains(document.activeElement)) byId("main").focus();
  if (!same) window.scrollTo(0, 0);
  open();
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) state.calls?.end();
  else open();
});

let resized = null;
window.addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(redraw, 150);
});

setInterval(() => {
  for (const element of document.querySelectorAll("time[data-ago]")) setText(element, ago(element.dateTime));
}, 1000);

function labelTheme(name) {
  byId("theme").setAttribute("aria-label", `Colours: ${name === "auto" ? "as the system has them" : name}. Change`);
  setText(byId("theme"), { auto: "◐", light: "☀", dark: "☾" }[name]);
}

byId("theme").addEventListener("click", () => labelTheme(nextTheme()));
showTheme();
labelTheme(theme());
followPointer();
recallToken();
takeTokenFromFragment();
open();
