-- Times are microseconds since the epoch, UTC, by the store's clock. Booleans are 0 and 1. JSON is kept as text.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
  seq            INTEGER PRIMARY KEY,
  id             TEXT    NOT NULL UNIQUE,
  queue          TEXT    NOT NULL,
  kind           TEXT    NOT NULL,
  key            TEXT,
  state          TEXT    NOT NULL DEFAULT 'pending'
                 CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'cancelled')),
  priority       INTEGER NOT NULL DEFAULT 0,
  attempt        INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
  max_attempts   INTEGER NOT NULL CHECK (max_attempts >= 1),
  lost           INTEGER NOT NULL DEFAULT 0,
  token          INTEGER NOT NULL DEFAULT 0,
  run_alone      INTEGER NOT NULL DEFAULT 0,
  session_id     TEXT,
  created_at     INTEGER NOT NULL,
  run_at         INTEGER NOT NULL,
  started_at     INTEGER,
  finished_at    INTEGER,
  updated_at     INTEGER NOT NULL,
  progress_done  INTEGER NOT NULL DEFAULT 0,
  progress_total INTEGER NOT NULL DEFAULT 0,
  status_message TEXT    NOT NULL DEFAULT '',
  payload        TEXT    NOT NULL CHECK (json_type(payload) = 'object'),
  result         TEXT CHECK (result IS NULL OR json_valid(result)),
  error_code     TEXT,
  error_message  TEXT,
  CHECK ((state = 'running') <= (session_id IS NOT NULL AND started_at IS NOT NULL)),
  CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
) STRICT;

-- Each state's questions are answered by an index over that state alone, so that finished rows cost them nothing.
CREATE UNIQUE INDEX jobs_key ON jobs (queue, key) WHERE key IS NOT NULL;
CREATE INDEX jobs_claim ON jobs (queue, priority DESC, created_at, seq, run_at, updated_at, kind)
  WHERE state = 'pending';
CREATE INDEX jobs_waiting ON jobs (queue, run_at, kind) WHERE state = 'pending';
CREATE INDEX jobs_running ON jobs (queue, started_at, kind) WHERE state = 'running';
CREATE INDEX jobs_held ON jobs (session_id) WHERE state = 'running';
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_listing ON jobs (queue, state);

CREATE TABLE papers (
  job_id        TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  idx           INTEGER NOT NULL,
  name          TEXT    NOT NULL,
  status        TEXT    NOT NULL,
  marks         REAL,
  max_marks     REAL    NOT NULL,
  detail        TEXT    NOT NULL,
  error_code    TEXT,
  error_message TEXT,
  times_written INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY (job_id, idx)
) STRICT, WITHOUT ROWID;

-- Which jobs need which paper files: a file that nobody refers to any more may go.
CREATE TABLE paper_refs (
  sha256 TEXT NOT NULL,
  job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  PRIMARY KEY (sha256, job_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX paper_refs_job ON paper_refs (job_id);

CREATE TABLE sessions (
  id          TEXT    PRIMARY KEY,
  name        TEXT    NOT NULL,
  queues      TEXT    NOT NULL,
  slots       INTEGER NOT NULL,
  busy        INTEGER NOT NULL DEFAULT 0,
  host        TEXT    NOT NULL,
  pid         INTEGER NOT NULL,
  version     TEXT    NOT NULL,
  target      TEXT    NOT NULL,
  incarnation TEXT    NOT NULL,
  http        TEXT    NOT NULL,
  started_at  INTEGER NOT NULL,
  beat_at     INTEGER NOT NULL,
  beats       INTEGER NOT NULL DEFAULT 0,
  loop_age    REAL    NOT NULL DEFAULT 0,
  ended_at    INTEGER,
  end_reason  TEXT    NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_open ON sessions (started_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;

-- Queues that any worker has ever served: what tells "never seen" from "gone".
CREATE TABLE served_queues (
  queue    TEXT PRIMARY KEY,
  first_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `before` is the row before the change, its times in microseconds too; (after_state, after_token, at = jobs.updated_at) is how the change left it.
CREATE TABLE audit (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  sweep       TEXT    NOT NULL,
  at          INTEGER NOT NULL,
  by          TEXT    NOT NULL,
  action      TEXT    NOT NULL,
  queue       TEXT    NOT NULL,
  subject     TEXT    NOT NULL,
  outcome     TEXT    NOT NULL,
  reason      TEXT    NOT NULL,
  message     TEXT    NOT NULL,
  before      TEXT,
  after_state TEXT,
  after_token INTEGER,
  verified    INTEGER,
  undone_at   INTEGER
) STRICT;
CREATE INDEX audit_sweep ON audit (sweep);
CREATE INDEX audit_subject ON audit (subject);
CREATE INDEX audit_restarts ON audit (at) WHERE action = 'restart';
-- What spends a budget: applied repairs that a watch decided on. A person's own act spends none.
CREATE INDEX audit_spent ON audit (action, at, queue) WHERE outcome = 'applied' AND reason <> 'operator';

CREATE TABLE leases (
  name       TEXT    PRIMARY KEY,
  holder     TEXT    NOT NULL,
  term       INTEGER NOT NULL,
  ttl        INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE pauses (
  id         INTEGER PRIMARY KEY,
  started_at INTEGER NOT NULL,
  until      INTEGER,
  by         TEXT    NOT NULL,
  reason     TEXT    NOT NULL,
  resumed_at INTEGER,
  resumed_by TEXT
) STRICT;

CREATE TABLE credits (
  kind     TEXT    NOT NULL,
  start_at INTEGER NOT NULL,
  end_at   INTEGER NOT NULL,
  PRIMARY KEY (kind, start_at, end_at)
) STRICT, WITHOUT ROWID;

-- Kept by the triggers below, in the transaction of the change itself, so that nobody ever has to count rows.
-- pending and running are depths; the rest are totals, which never fall.
CREATE TABLE counters (
  queue            TEXT    PRIMARY KEY,
  pending          INTEGER NOT NULL DEFAULT 0,
  running          INTEGER NOT NULL DEFAULT 0,
  enqueued         INTEGER NOT NULL DEFAULT 0,
  retries          INTEGER NOT NULL DEFAULT 0,
  succeeded        INTEGER NOT NULL DEFAULT 0,
  failed           INTEGER NOT NULL DEFAULT 0,
  cancelled        INTEGER NOT NULL DEFAULT 0,
  last_started_at  INTEGER,
  last_finished_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE paper_counters (
  queue   TEXT    NOT NULL,
  status  TEXT    NOT NULL,
  written INTEGER NOT NULL,
  PRIMARY KEY (queue, status)
) STRICT, WITHOUT ROWID;

CREATE TABLE histograms (
  queue    TEXT    NOT NULL,
  name     TEXT    NOT NULL CHECK (name IN ('wait', 'run')),
  outcome  TEXT    NOT NULL,
  bucket   INTEGER NOT NULL,
  observed INTEGER NOT NULL,
  total    INTEGER NOT NULL,
  PRIMARY KEY (queue, name, outcome, bucket)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER jobs_counted_in AFTER INSERT ON jobs BEGIN
  INSERT INTO counters (queue, enqueued, pending, running)
  VALUES (NEW.queue, 1, NEW.state = 'pending', NEW.state = 'running')
  ON CONFLICT (queue) DO UPDATE SET
    enqueued = enqueued + 1, pending = pending + excluded.pending, running = running + excluded.running;
END;

CREATE TRIGGER jobs_counted_out AFTER DELETE ON jobs WHEN OLD.finished_at IS NULL BEGIN
  UPDATE counters SET pending = pending - (OLD.state = 'pending'), running = running - (OLD.state = 'running')
  WHERE queue = OLD.queue;
END;

-- A retry is a worker's own: it keeps its charged attempt (a release gives it back) and lost no worker (a recovery did).
CREATE TRIGGER jobs_counted_over AFTER UPDATE OF state ON jobs WHEN OLD.state <> NEW.state BEGIN
  UPDATE counters SET
    pending   = pending   + (NEW.state = 'pending') - (OLD.state = 'pending'),
    running   = running   + (NEW.state = 'running') - (OLD.state = 'running'),
    succeeded = succeeded + (NEW.state = 'succeeded'),
    failed    = failed    + (NEW.state = 'failed'),
    cancelled = cancelled + (NEW.state = 'cancelled'),
    retries   = retries   + (OLD.state = 'running' AND NEW.state = 'pending'
                             AND NEW.attempt = OLD.attempt AND NEW.lost = OLD.lost),
    last_started_at = iif(NEW.state = 'running', NEW.started_at, last_started_at)
  WHERE queue = NEW.queue;
END;

CREATE TRIGGER jobs_wait_observed AFTER UPDATE OF state ON jobs
WHEN OLD.state = 'pending' AND NEW.state = 'running' BEGIN
  INSERT INTO histograms (queue, name, outcome, bucket, observed, total)
  VALUES (NEW.queue, 'wait', '', {wait_bucket: NEW.started_at - NEW.run_at}, 1, max(NEW.started_at - NEW.run_at, 0))
  ON CONFLICT (queue, name, outcome, bucket) DO UPDATE SET observed = observed + 1, total = total + excluded.total;
END;

CREATE TRIGGER jobs_run_observed AFTER UPDATE OF state ON jobs
WHEN OLD.state = 'running' AND NEW.finished_at IS NOT NULL BEGIN
  INSERT INTO histograms (queue, name, outcome, bucket, observed, total)
  VALUES (NEW.queue, 'run', NEW.state, {run_bucket: NEW.finished_at - NEW.started_at}, 1,
          max(NEW.finished_at - NEW.started_at, 0))
  ON CONFLICT (queue, name, outcome, bucket) DO UPDATE SET observed = observed + 1, total = total + excluded.total;
END;

CREATE TRIGGER papers_counted AFTER INSERT ON papers BEGIN
  INSERT INTO paper_counters (queue, status, written)
  SELECT queue, NEW.status, 1 FROM jobs WHERE id = NEW.job_id
  ON CONFLICT (queue, status) DO UPDATE SET written = written + 1;
END;

CREATE TRIGGER papers_counted_again AFTER UPDATE OF times_written ON papers BEGIN
  INSERT INTO paper_counters (queue, status, written)
  SELECT queue, NEW.status, 1 FROM jobs WHERE id = NEW.job_id
  ON CONFLICT (queue, status) DO UPDATE SET written = written + 1;
END;
