// Health in one sentence, with the cause and the fix; then every other finding, folded.

import { h } from "./dom.js";
import { count } from "./format.js";
import { age, levelChip, moment, name } from "./parts.js";

const SEVERITIES = { critical: "critical", warning: "warning", info: "notice" };

/** What cannot be known is never well: a watch that does not answer is the news, whatever it said last. */
export function healthNow({ health }, failed) {
  if (!failed) return health;
  return {
    level: "unknown",
    sentence: "How things are is not known: the watch does not answer",
    cause: `${failed} The last it said: ${health.sentence}`,
    fix: "Check the network, and whether the watch runs. What is below is as old as the bar on top says.",
    command: "",
    runbook: "",
    code: "",
    subject: "",
  };
}

export function healthView(health, { store, watch }) {
  return h(
    "section",
    { class: "health", "data-level": health.level, "aria-labelledby": "sentence", "data-key": "health" },
    h("p", { class: "level" }, levelChip(health.level), modes(watch, store)),
    h("h1", { id: "sentence" }, name(health.sentence, 400)),
    health.cause ? h("p", { class: "cause" }, name(health.cause, 1000)) : null,
    health.fix ? h("p", { class: "fix" }, name(health.fix, 1000)) : null,
    commands(health),
    store.reachable ? null : away(store),
  );
}

function modes(watch, store) {
  const told = [];
  if (watch.mode === "dry-run") told.push("Dry run: repairs are recorded, not made");
  if (watch.mode === "off") told.push("Repairs are off");
  if (watch.pause) {
    told.push([watch.pause.until ? ["Repairs paused until ", moment(watch.pause.until)] : "Repairs paused", " by ", name(watch.pause.by)]);
  }
  if (!watch.leader && store.reachable) told.push("Another watch repairs; this one looks on");
  return told.map((one) => h("span", { class: "mode" }, one));
}

function commands({ command, runbook }) {
  if (!command && !runbook) return null;
  return h(
    "p",
    { class: "commands" },
    command ? h("code", {}, name(command, 200)) : null,
    runbook ? h("span", { class: "faint" }, "Runbook ", h("code", { class: "plain" }, runbook)) : null,
  );
}

function away(store) {
  const since = (Date.now() - new Date(store.since)) / 1000;
  return h(
    "p",
    { class: "away" },
    h("strong", {}, "The store has not answered since "),
    moment(store.since),
    ` (${Math.max(0, since) < 1 ? "just now" : ""}`, since < 1 ? null : age(Math.max(0, since)), "). ",
    "Queues, workers and jobs below are as they were read last.",
  );
}

export function findingsView({ findings, findings_total: total }) {
  const others = findings.slice(1);
  if (!others.length) return null;
  const hidden = total - findings.length;
  return h(
    "section",
    { class: "findings", "aria-label": "Further findings", "data-key": "findings" },
    others.map(findingView),
    hidden > 0 ? h("p", { class: "faint" }, `${count(hidden, "more finding")}: see api/findings`) : null,
  );
}

function findingView(finding) {
  return h(
    "details",
    { "data-key": `${finding.code} ${finding.subject}` },
    h("summary", {}, levelChip(SEVERITIES[finding.severity]), " ", name(finding.summary, 200)),
    h("ul", {}, finding.evidence.map((line) => h("li", {}, name(line, 300)))),
    h("p", {}, name(finding.fix, 1000)),
    commands(finding),
  );
}
