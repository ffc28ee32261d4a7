// The page: take what the server put into it, show it, and from then on ask anew whenever something has happened.

import { asOf, grow } from "./ages.js";
import { announce } from "./announce.js";
import { ask, Refused } from "./api.js";
import { barView, footView, freshness, staleView } from "./bar.js";
import { embedded, h } from "./dom.js";
import { findingsView, healthNow, healthView } from "./health.js";
import { jobView } from "./job.js";
import { jobsView } from "./jobs.js";
import { orders, follow } from "./orders.js";
import { render } from "./patch.js";
import { queuesView } from "./queues.js";
import { Stream } from "./stream.js";
import { timelineView } from "./timeline.js";
import { token } from "./token.js";
import { FEW as FEW_WORKERS, workersView } from "./workers.js";

const PATIENCE = 150; // milliseconds in which several wishes become one question
const AT_MOST_EVERY = 1000;
const WHILE_BROKEN = 5000; // how often the page asks by itself when the stream does not tell
const WHILE_HIDDEN = 30000;
const JOB_RUNS = 2000;
const ALL_WORKERS = 1000;
const OLDER = 20;

const page = embedded("page");
const state = { overview: embedded("overview"), workers: null, jobs: null, failed: "" };
const wishes = {
  queues: { match: "", all: false },
  workers: { match: "", all: false },
  jobs: { status: "", count: OLDER },
  papers: { all: false },
};
const place = (id) => document.getElementById(id);

function show() {
  const { overview } = state;
  const top = [staleView(stream, state), healthView(healthNow(overview, state.failed), overview)];
  const rest = page.view === "job" ? jobView(page, overview, wishes) : overviewViews(overview);
  render(place("view"), [...top, ...rest]);
  render(place("foot"), footView(overview));
  showBar();
  tell();
}

function overviewViews(overview) {
  return [
    findingsView(overview),
    h(
      "div",
      { class: "columns", "data-key": "columns" },
      h(
        "div",
        { class: "stack" },
        queuesView(overview, wishes),
        workersView(state.workers ?? overview.workers, wishes),
        jobsView(overview, state.jobs, wishes),
      ),
      timelineView(overview.timeline, overview.watch),
    ),
  ];
}

function showBar() {
  render(place("bar"), barView(stream, state));
}

/** Screen readers and the tab's title: the state of things, not its figures. */
function tell() {
  const { watch } = state.overview;
  const health = healthNow(state.overview, state.failed);
  const { stale } = freshness(stream, state);
  const lead = stale ? "Data is old. " : "";
  announce([health.level, health.code, health.subject, stale, Boolean(watch.pause)].join(" "), lead + health.sentence);
  const mark = health.level === "ok" ? "" : `${health.level.toUpperCase()} · `;
  document.title = mark + (page.view === "job" ? `Job ${page.id.slice(0, 40)} · Gradewatch` : "Gradewatch");
}

// ---------------------------------------------------------------- asking

let asking = false;
let again = false;
let last = 0;
let timer;

/** Look again soon; many wishes for it are one. */
function look(soon = PATIENCE) {
  clearTimeout(timer);
  const rest = Math.max(soon, AT_MOST_EVERY - (performance.now() - last));
  timer = setTimeout(refresh, rest);
}

async function refresh() {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  last = performance.now();
  try {
    const [overview, workers, jobs] = await Promise.all([ask("api/overview"), askWorkers(), askJobs(), askJob()]);
    asOf(overview.age);
    Object.assign(state, { overview: overview.value, workers, jobs, failed: "" });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    state.failed = error.message;
  } finally {
    asking = false;
    show();
    if (again) look();
    again = false;
    rest();
  }
}

async function askWorkers() {
  const { match, all } = wishes.workers;
  if (page.view === "job" || (!match && !all)) return null;
  const query = new URLSearchParams({ match, limit: all ? ALL_WORKERS : FEW_WORKERS });
  return (await ask(`api/workers?${query}`)).value;
}

async function askJobs() {
  const { status, count } = wishes.jobs;
  if (page.view === "job" || (!status && count === OLDER)) return null;
  return (await ask(`api/jobs?${new URLSearchParams({ status, limit: Math.min(200, count) })}`)).value;
}

async function askJob() {
  if (page.view !== "job") return;
  try {
    page.job = (await ask(`api/jobs/${encodeURIComponent(page.id)}/papers`)).value;
    page.problem = null;
  } catch (error) {
    if (!(error instanceof Refused) || !error.status) throw error;
    if (!page.job || error.status === 404) page.problem = error;
  }
}

/** When to ask without being told to. */
function rest() {
  if (document.hidden) look(WHILE_HIDDEN);
  else if (stream.state === "broken" || state.failed) look(WHILE_BROKEN);
  else if (page.view === "job" && page.job?.job.status === "running") look(JOB_RUNS);
}

// ---------------------------------------------------------------- what people do

const deeds = {
  all: ({ list }) => { wishes[list].all = true; },
  few: ({ list }) => { wishes[list].all = false; },
  older: () => { wishes.jobs.count += 60; },
  forget: () => token.forget(),
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-action]");
  if (!button) return;
  const { action } = button.dataset;
  if (action in orders) {
    follow(button, () => look());
    return;
  }
  deeds[action]?.(button.dataset);
  show();
  look();
});

document.addEventListener("input", (event) => {
  const list = event.target.dataset?.filter;
  if (!list) return;
  if (list === "jobs") Object.assign(wishes.jobs, { status: event.target.value, count: OLDER });
  else wishes[list].match = event.target.value.trim();
  show();
  look();
});

// A browser allows six streams to one host: a tab that nobody sees gives its own back, and asks now and then.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) stream.close();
  else stream.open();
  look();
});

const stream = new Stream(() => look(), () => { show(); look(); });
asOf(page.age);
show();
stream.open();
setInterval(() => { grow(); showBar(); }, 1000);
