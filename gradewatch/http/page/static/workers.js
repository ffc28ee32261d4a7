// The workers, those in trouble first, with what each has in hand.

import { h, root } from "./dom.js";
import { number } from "./format.js";
import { filter, more, shownOf } from "./many.js";
import { age, chip, jobLink, name, progress, row, section, table } from "./parts.js";

export const FEW = 20;
const AGED = 1; // seconds: a reading of an earlier cycle, kept because this one could not read
const COLUMNS = [
  { title: "Worker", class: "wide" },
  { title: "Verdict", class: "state" },
  { title: "Last beat" },
  { title: "Slots", class: "num" },
  { title: "Job and progress", class: "job" },
  { title: "Queues", class: "queue" },
];

export function workersView(workers, wishes) {
  const listed = workers.workers;
  const shown = wishes.workers.all ? listed : listed.slice(0, FEW);
  const { matching, total } = workers;
  return section(
    "workers",
    "Workers",
    [tally(workers), total > FEW ? filter("workers", "Filter by name, host, queue or verdict", wishes) : null],
    total ? table("Workers", COLUMNS, shown.map((worker) => workerRow(worker))) : null,
    total ? null : h("p", { class: "empty" }, "No worker has an open session. Start one: ", h("code", {}, "gradewatch worker")),
    total && !matching ? h("p", { class: "empty" }, "No worker matches.") : null,
    more("workers", shownOf(shown.length, matching, "worker"), shown.length < matching, matching, wishes),
  );
}

function tally({ verdicts, read_ago }) {
  const parts = Object.entries(verdicts).map(([verdict, many]) => h("span", {}, chip(verdict), ` ${number(many)}`));
  const old = read_ago > AGED ? h("span", { class: "faint" }, "as read ", age(read_ago), " ago") : null;
  return h("span", { class: "tally" }, parts, old);
}

function workerRow(worker) {
  return row(worker.session, worker.verdict, COLUMNS, [
    [h("span", { class: "name" }, name(worker.name, 48)), h("span", { class: "sub" }, worker.host ? name(worker.host, 40) : "", worker.pid ? ` · pid ${worker.pid}` : "")],
    [chip(worker.verdict), worker.verdict === "alive" ? null : h("span", { class: "sub" }, name(worker.evidence, 200))],
    [age(worker.beat_ago), " ago"],
    `${number(worker.busy)} of ${number(worker.slots)}`,
    jobs(worker),
    queues(worker),
  ]);
}

function jobs(worker) {
  if (!worker.jobs.length) return h("span", { class: "faint" }, worker.busy ? "busy" : "idle");
  const lines = worker.jobs.map((job) =>
    h("span", { class: "line" }, jobLink(job.id, root), progress(job.done, job.total, "Papers graded")),
  );
  const hidden = worker.jobs_total - worker.jobs.length;
  return [lines, hidden > 0 ? h("span", { class: "sub" }, `and ${hidden} more`) : null];
}

function queues(worker) {
  const hidden = worker.queues_total - worker.queues.length;
  return [
    worker.queues.map((queue, at) => [at ? ", " : "", name(queue, 30)]),
    hidden > 0 ? ` and ${hidden} more` : "",
  ];
}
