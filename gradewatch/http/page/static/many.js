// Long lists, shown in part: a filter, how many are shown, and a button for all.

import { h } from "./dom.js";
import { count, number } from "./format.js";

export function filter(list, label, wishes) {
  const id = `filter-${list}`;
  return h(
    "span",
    { class: "filter" },
    h("label", { for: id, class: "hidden" }, label),
    h("input", { id, type: "search", "data-filter": list, placeholder: label, value: wishes[list].match, autocomplete: "off", spellcheck: "false", maxlength: 200 }),
  );
}

export function shownOf(shown, matching, one) {
  return shown < matching ? `${number(shown)} of ${count(matching, one)}, the gravest first.` : "";
}

export function more(list, text, isMore, total, wishes) {
  const few = wishes[list].all && !isMore;
  if (!text && !isMore && !few) return null;
  return h(
    "p",
    { class: "more" },
    h("span", { class: "faint" }, text),
    isMore ? h("button", { type: "button", "data-action": "all", "data-list": list, id: `all-${list}` }, `Show all ${number(total)}`) : null,
    few ? h("button", { type: "button", "data-action": "few", "data-list": list, id: `all-${list}` }, "Show fewer") : null,
  );
}
