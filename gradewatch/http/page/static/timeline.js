// What happened, newest first: findings that came and went, and what was done about them.

import { h, root } from "./dom.js";
import { count } from "./format.js";
import { chip, jobLink, moment, name, section } from "./parts.js";

const SEVERITIES = { critical: "critical", warning: "warning", info: "notice" };
const ABOUT_JOBS = ["expire", "requeue", "fail", "cancel"];
const MOST = 30;

export function timelineView(moments, watch, title = "Timeline") {
  const shown = moments.slice(0, MOST);
  return section(
    "timeline",
    title,
    null,
    shown.length ? h("ol", { class: "timeline" }, shown.map((one) => momentView(one, watch))) : h("p", { class: "empty" }, "Nothing has happened yet."),
  );
}

function momentView(one, watch) {
  const key = [one.at, one.kind, one.code, one.sweep ?? "", one.outcome ?? "", one.subjects[0] ?? ""].join(" ");
  const body = one.kind === "repair" ? repair(one, watch) : finding(one);
  return h("li", { "data-key": key, "data-level": level(one) }, moment(one.at), h("div", { class: "what" }, body));
}

function level(one) {
  if (one.kind === "finding") return SEVERITIES[one.severity];
  if (one.kind === "cleared" || one.outcome === "applied") return "ok";
  return one.outcome === "failed" ? "critical" : one.outcome === "suppressed" ? "warning" : "notice";
}

function finding(one) {
  const gone = one.kind === "cleared";
  return [
    h("p", {}, h("strong", {}, gone ? "Over: " : "Found: "), name(one.text, 240)),
    h("p", { class: "sub" }, h("code", { class: "plain" }, one.code)),
  ];
}

function repair(one, watch) {
  return [
    h("p", {}, h("strong", {}, title(one)), " ", chip(one.outcome), verified(one)),
    one.text ? h("p", {}, name(one.text, 240)) : null,
    h("p", { class: "sub" }, subjects(one), " · by ", name(one.by, 60), one.undone ? ` · ${count(one.undone, "change")} undone` : ""),
    undo(one, watch),
  ];
}

function title(one) {
  const words = { expire: "Failed for its timeout", requeue: "Taken back", fail: "Failed", restart: "Restarted", cancel: "Cancelled", pause: "Repairs paused", resume: "Repairs resumed", undo: "Undone" };
  const what = words[one.action] ?? one.action;
  return one.count > 1 ? `${what}: ${count(one.count, ABOUT_JOBS.includes(one.action) ? "job" : "time")}` : what;
}

function verified(one) {
  if (one.action !== "restart" || one.outcome !== "applied") return null;
  const words = { true: "it helped", false: "it did not help", null: "being verified" };
  return h("span", { class: "faint" }, ` ${words[one.verified]}`);
}

function subjects(one) {
  const shown = one.subjects.filter(Boolean).map((subject, at) => [
    at ? ", " : "",
    ABOUT_JOBS.includes(one.action) ? jobLink(subject, root) : name(subject, 60),
  ]);
  const hidden = one.count - one.subjects.length;
  return [shown.length ? shown : name(one.queue ?? "", 60), hidden > 0 ? ` and ${hidden} more` : ""];
}

function undo(one, watch) {
  if (!one.can_undo || !watch.writes) return null;
  return h("p", {}, h("button", { type: "button", class: "small", "data-action": "undo", "data-sweep": one.sweep, "aria-label": `Undo sweep ${one.sweep}` }, "Undo"));
}
