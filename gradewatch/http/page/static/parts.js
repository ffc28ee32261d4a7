// The small parts that every view is made of.

import { born } from "./ages.js";
import { h } from "./dom.js";
import { clock, cut, number, span, visible } from "./format.js";

const LEVELS = { ok: "All well", notice: "Notice", warning: "Warning", critical: "Critical", unknown: "Unknown" };
const MANNERS = {
  ok: ["alive", "succeeded", "graded", "applied", "cleared", "ok"],
  warning: ["starved", "suspect", "needs_review", "suppressed", "warning"],
  critical: ["dead", "failed", "critical"],
  notice: ["running", "dry_run", "notice", "info"],
};

/** A name or a text of somebody else's: isolated, so that it cannot turn what stands beside it around. */
export function name(text, most) {
  const seen = visible(text).trim() ? visible(text) : "(blank)";
  const shown = cut(seen, most);
  return h("bdi", { title: shown === seen ? null : cut(seen, 400) }, shown);
}

export function levelChip(level) {
  return h("span", { class: "chip", "data-level": level }, LEVELS[level]);
}

/** A state in its word, coloured by what it means. */
export function chip(word) {
  const manner = Object.keys(MANNERS).find((one) => MANNERS[one].includes(word)) ?? "unknown";
  return h("span", { class: "chip", "data-level": manner }, visible(word).replaceAll("_", " "));
}

/** An age that goes on growing on the page. */
export function age(seconds) {
  if (seconds === null || seconds === undefined) return h("span", { class: "faint" }, "–");
  return h("span", { class: "age", "data-born": born(seconds) }, span(seconds));
}

export function moment(stamp) {
  return stamp ? h("time", { datetime: stamp, title: stamp }, clock(stamp)) : h("span", { class: "faint" }, "–");
}

/** 12/30, as a bar and in figures. */
export function progress(done, total, label) {
  if (!total) return h("span", { class: "faint" }, "–");
  return h(
    "span",
    { class: "progress" },
    h("progress", { max: total, value: Math.min(done, total), "aria-label": `${label}: ${done} of ${total}` }),
    h("span", { class: "figure" }, `${number(done)}/${number(total)}`),
  );
}

export function jobLink(id, root, text = id) {
  return h("a", { class: "id", href: `${root}jobs/${encodeURIComponent(id)}`, title: id }, name(text, 40));
}

/** A table that stays one for a screen reader where the style sheet lays its rows out as cards. */
export function table(caption, columns, rows) {
  const head = columns.map((column) => h("th", { scope: "col", role: "columnheader", class: column.class }, column.title));
  return h(
    "table",
    { role: "table", "aria-label": caption },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
    h("tbody", { role: "rowgroup" }, rows),
  );
}

export function row(key, level, columns, cells) {
  const made = cells.map((cell, at) =>
    h("td", { role: "cell", class: columns[at].class, "data-title": columns[at].title }, cell),
  );
  return h("tr", { role: "row", "data-key": key, "data-level": level }, made);
}

export function section(id, title, aside, ...content) {
  return h(
    "section",
    { class: "panel", id, "aria-labelledby": `${id}-title` },
    h("div", { class: "panel-head" }, h("h2", { id: `${id}-title` }, title), aside),
    content,
  );
}
