// What this tab knows of the coordinator: the token, what it is, and its clock.

const TOKEN_KEY = "fleetmark-token";
const THEME_KEY = "fleetmark-theme";

export const session = {
  token: null,
  meta: null,
  clockOffset: 0, // the coordinator's clock minus this one's, in milliseconds
};

/** A browser that keeps nothing for this page still shows it, and asks again after a reload. */
function kept(use) {
  try {
    return use();
  } catch (error) {
    if (error instanceof DOMException) return null;
    throw error;
  }
}

export function keepToken(token) {
  session.token = token || null;
  session.meta = null;
  kept(() => sessionStorage.setItem(TOKEN_KEY, token ?? ""));
}

export const forgetToken = () => keepToken(null);

export function recallToken() {
  session.token = kept(() => sessionStorage.getItem(TOKEN_KEY)) || null;
}

/** `#token=…` and, where the link leads further, `&to=/runs/ID`. */
export function takeTokenFromFragment() {
  if (!location.hash.startsWith("#token=")) return;
  const given = new URLSearchParams(location.hash.slice(1));
  keepToken(given.get("token"));
  // Out of the address bar, the history and whatever is copied from them.
  history.replaceState(null, "", `${location.pathname}#${given.get("to") ?? "/devices"}`);
}

// "12 s ago" is told by the coordinator's clock: a board's or a laptop's may be minutes off.
export function syncClock(header) {
  const offset = Date.parse(header ?? "") - Date.now();
  session.clockOffset = Math.abs(offset) > 2000 ? offset : 0;
}

// --- light and dark --------------------------------------------------------------------------

const THEMES = { auto: "light", light: "dark", dark: "auto" };

export const theme = () => {
  const found = kept(() => localStorage.getItem(THEME_KEY));
  return found in THEMES ? found : "auto";
};

export function showTheme(name = theme()) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  return name;
}

export function nextTheme() {
  const next = THEMES[theme()];
  // What looks like a choice is no secret: it outlives the tab, unlike the token.
  kept(() => (next === "auto" ? localStorage.removeItem(THEME_KEY) : localStorage.setItem(THEME_KEY, next)));
  return showTheme(next);
}
