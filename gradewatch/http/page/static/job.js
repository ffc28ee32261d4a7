// One job by itself: where it stands, each of its papers, and what was done to it.

import { h, root } from "./dom.js";
import { count, number } from "./format.js";
import { requeue } from "./jobs.js";
import { more, shownOf } from "./many.js";
import { chip, moment, name, progress, row, section, table } from "./parts.js";
import { timelineView } from "./timeline.js";

const FEW = 100;
const WORDS = { graded: "graded", needs_review: "for a person to look at", failed: "failed", waiting: "to come" };
const COLUMNS = [
  { title: "No.", class: "num" },
  { title: "Paper", class: "wide" },
  { title: "State", class: "state" },
  { title: "Marks", class: "num" },
  { title: "Why", class: "why" },
];

export function jobView(page, overview, wishes) {
  if (page.problem) return [missing(page)];
  if (!page.job) return [h("section", { class: "panel" }, h("p", { class: "empty" }, "Looking the job up …"))];
  const { job, papers, papers_total: total, timeline } = page.job;
  return [
    summary(job, overview.watch),
    h(
      "div",
      { class: timeline.length ? "columns" : "stack", "data-key": "columns" },
      papersView(papers, total, wishes),
      timeline.length ? timelineView(timeline, overview.watch, "What was done to it") : null,
    ),
  ];
}

function missing({ id, problem }) {
  return h(
    "section",
    { class: "panel", "aria-labelledby": "job-title" },
    h("h2", { id: "job-title" }, "Job ", name(id, 60)),
    h("p", {}, name(problem.message, 400)),
    problem.fix ? h("p", { class: "faint" }, name(problem.fix, 400)) : null,
    h("p", {}, h("a", { href: `${root}./` }, "All queues and jobs")),
  );
}

function summary(job, watch) {
  const facts = [
    ["Queue", name(job.queue)],
    ["Kind", name(job.kind)],
    ["Attempt", `${job.attempt} of ${job.max_attempts}${job.lost ? `, ${count(job.lost, "worker")} lost` : ""}`],
    ["Created", moment(job.created_at)],
    ["Started", moment(job.started_at)],
    ["Finished", moment(job.finished_at)],
  ];
  return section(
    "job",
    ["Job ", name(job.id, 60)],
    [chip(job.status), requeue(job, watch)],
    h("div", { class: "big" }, progress(job.progress.done, job.progress.total, "Papers graded")),
    job.status_message ? h("p", { class: "faint" }, name(job.status_message, 300)) : null,
    job.error ? h("p", { class: "problem" }, h("code", { class: "plain" }, name(job.error.code)), " ", name(job.error.message, 1000)) : null,
    h("dl", { class: "facts" }, facts.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value)))),
  );
}

function papersView(papers, total, wishes) {
  const shown = wishes.papers.all ? papers : papers.slice(0, FEW);
  const beyond = total > papers.length ? `The first ${number(papers.length)} of ${number(total)} can be shown.` : "";
  return section(
    "papers",
    "Papers",
    h("span", { class: "faint" }, tally(papers)),
    shown.length ? table("Papers", COLUMNS, shown.map(paperRow)) : h("p", { class: "empty" }, "This job has no papers."),
    more("papers", shownOf(shown.length, papers.length, "paper").replace(", the gravest first", "") + beyond, shown.length < papers.length, papers.length, wishes),
  );
}

function tally(papers) {
  const told = Object.entries(WORDS).map(([status, words]) => [papers.filter((paper) => paper.status === status).length, words]);
  return told.filter(([many]) => many).map(([many, words]) => `${number(many)} ${words}`).join(", ");
}

function paperRow(paper) {
  const marks = paper.marks === null ? "–" : `${paper.marks} of ${paper.max_marks}`;
  return row(String(paper.index), paper.status, COLUMNS, [
    number(paper.index + 1),
    h("span", { class: "name" }, paper.name ? name(paper.name) : "–"),
    chip(paper.status),
    marks,
    paper.error ? name(paper.error, 200) : "",
  ]);
}
