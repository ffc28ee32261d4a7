// Jobs, newest first; those that run on top. By state, and page by page.

import { h, root } from "./dom.js";
import { chip, jobLink, moment, name, progress, row, section, table } from "./parts.js";

const STATES = [["", "Newest"], ["pending", "Pending"], ["running", "Running"], ["succeeded", "Succeeded"], ["failed", "Failed"], ["cancelled", "Cancelled"]];
export const REQUEUEABLE = ["failed", "cancelled", "running"];
const COLUMNS = [
  { title: "Job", class: "wide" },
  { title: "Queue", class: "queue" },
  { title: "State", class: "state" },
  { title: "Progress", class: "job" },
  { title: "Attempt", class: "num" },
  { title: "Created" },
  { title: "Order", class: "act" },
];

export function jobsView({ jobs, lookup_failed: failed, watch }, listed, wishes) {
  const rows = listed ? listed.jobs : jobs;
  return section(
    "jobs",
    "Jobs",
    states(wishes),
    failed ? h("p", { class: "note" }, "Jobs and repairs could not be read just now: ", name(failed, 200)) : null,
    rows.length ? table("Jobs", COLUMNS, rows.map((job) => jobRow(job, watch))) : h("p", { class: "empty" }, "None."),
    listed?.next ? h("p", { class: "more" }, h("button", { type: "button", "data-action": "older", id: "older" }, "Show older")) : null,
  );
}

function states(wishes) {
  const options = STATES.map(([value, text]) => h("option", { value, selected: value === wishes.jobs.status }, text));
  return h(
    "span",
    { class: "filter" },
    h("label", { for: "job-state", class: "hidden" }, "Jobs in state"),
    h("select", { id: "job-state", "data-filter": "jobs" }, options),
  );
}

function jobRow(job, watch) {
  return row(job.id, job.status, COLUMNS, [
    [jobLink(job.id, root), job.error ? h("span", { class: "sub bad" }, name(job.error.message, 160)) : null],
    name(job.queue, 40),
    chip(job.status),
    progress(job.progress.done, job.progress.total, "Papers graded"),
    `${job.attempt}/${job.max_attempts}`,
    moment(job.created_at),
    requeue(job, watch),
  ]);
}

/** Only where the watch takes orders at all, and where the job's state allows it. */
export function requeue(job, watch) {
  if (!watch.writes || !REQUEUEABLE.includes(job.status)) return null;
  return h(
    "button",
    { type: "button", "data-action": "requeue", "data-id": job.id, "data-state": job.status, "aria-label": `Requeue job ${job.id}` },
    "Requeue",
  );
}
