// Filters and pages of long lists. Both live in the address, so that a list can be linked to.

import { h } from "./dom.js";
import { count } from "./format.js";
import { pathWith } from "./parts.js";

export const filterRow = (view, params, placeholder) =>
  h("p", { class: "row" }, h("input", { type: "search", id: "filter", "data-filter": view,
    value: params.words ?? "", placeholder, "aria-label": placeholder, autocomplete: "off", spellcheck: "false" }));

/** Pages by number, for lists that are counted. */
export function pager(view, params, size, total) {
  const offset = Number(params.offset ?? 0);
  if (total <= size && offset === 0) return null;
  const to = (at) => pathWith(view, { ...params, offset: at > 0 ? at : null });
  return h("nav", { class: "pager", "aria-label": "Pages" },
    offset > 0 ? h("a", { class: "button quiet", href: to(Math.max(0, offset - size)) }, "← Before") : null,
    h("span", { class: "muted" }, `${count(offset + 1)} – ${count(Math.min(total, offset + size))} of ${count(total)}`),
    offset + size < total ? h("a", { class: "button quiet", href: to(offset + size) }, "Next →") : null);
}
