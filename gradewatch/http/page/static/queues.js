// The queues, the gravest first; of many, only the first ones until asked for all.

import { h } from "./dom.js";
import { count, number, span } from "./format.js";
import { filter, more, shownOf } from "./many.js";
import { age, levelChip, name, row, section, table } from "./parts.js";
import { sparkline } from "./sparkline.js";

const FEW = 12;
const COLUMNS = [
  { title: "Queue", class: "wide" },
  { title: "State", class: "state" },
  { title: "Waiting", class: "num" },
  { title: "Running", class: "num" },
  { title: "Oldest wait" },
  { title: "Depth" },
  { title: "Done", class: "num" },
  { title: "Failed", class: "num" },
  { title: "Workers", class: "num" },
];

export function queuesView({ queues, queues_total: total }, wishes) {
  const wanted = wishes.queues.match.toLowerCase();
  const matching = queues.filter((queue) => queue.name.toLowerCase().includes(wanted));
  const shown = wishes.queues.all ? matching : matching.slice(0, FEW);
  const beyond = total > queues.length ? ` The gravest ${number(queues.length)} of ${number(total)} can be shown.` : "";
  return section(
    "queues",
    "Queues",
    total > FEW ? filter("queues", "Filter queues", wishes) : null,
    table("Queues", COLUMNS, shown.map(queueRow)),
    matching.length ? null : h("p", { class: "empty" }, "No queue of that name."),
    more("queues", shownOf(shown.length, matching.length, "queue") + beyond, shown.length < matching.length, matching.length, wishes),
  );
}

function queueRow(queue) {
  const read = queue.pending !== null;
  return row(queue.name, queue.level, COLUMNS, [
    h("span", { class: "name" }, name(queue.name)),
    [levelChip(queue.level), note(queue)],
    read ? depth(queue.pending, queue.exact) : "–",
    read ? depth(queue.running, queue.exact) : "–",
    wait(queue),
    sparkline(queue.depths),
    number(queue.succeeded),
    h("span", { class: queue.failed ? "bad" : null }, number(queue.failed)),
    number(queue.workers),
  ]);
}

function depth(value, exact) {
  return exact ? number(value) : `${number(value)}+`;
}

function note(queue) {
  if (queue.unread && queue.read_ago !== null) return h("span", { class: "faint" }, " read ", age(queue.read_ago), " ago");
  if (queue.unread) return h("span", { class: "faint" }, " never read");
  return queue.paused ? h("span", { class: "faint" }, " paused") : null;
}

/** How long the oldest job has waited, against how long it may. */
function wait(queue) {
  if (queue.oldest_pending === null) return h("span", { class: "faint" }, "–");
  const used = Math.min(1, queue.oldest_pending / queue.limit);
  const full = used >= 1 ? "critical" : used >= 0.5 ? "warning" : "ok";
  return h(
    "span",
    { class: "wait", title: `limit ${span(queue.limit)}` },
    h("span", { class: "wait-text" }, age(queue.oldest_pending), h("span", { class: "faint" }, ` of ${span(queue.limit)}`)),
    h("meter", { "data-level": full, min: 0, max: 1, value: used.toFixed(3), "aria-label": `Wait used: ${Math.round(used * 100)} %` }),
  );
}

export function queuesSummary({ queues_total: total }) {
  return count(total, "queue");
}
