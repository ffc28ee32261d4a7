-- The tables. Nobody but their owner touches them: workers, watches and backends call the functions of the files after
-- this one. Every file may be run again. Text sorts by bytes (COLLATE "C"), so that ids sort by time.

CREATE SCHEMA IF NOT EXISTS gradewatch;

-- The store's time, in one place: the start of the transaction, by the server's clock.
CREATE OR REPLACE FUNCTION gradewatch.clock() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT pg_catalog.now() $$;

CREATE OR REPLACE FUNCTION gradewatch.micros(span interval) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT (extract(epoch FROM span) * 1000000)::bigint $$;

CREATE OR REPLACE FUNCTION gradewatch.span(micros bigint) RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT micros * interval '1 microsecond' $$;

CREATE TABLE IF NOT EXISTS gradewatch.meta (
  key   text PRIMARY KEY,
  value text NOT NULL
);

CREATE SEQUENCE IF NOT EXISTS gradewatch.ids AS bigint CYCLE;

-- What all ids of that moment begin with, and none of a moment before is greater than.
CREATE OR REPLACE FUNCTION gradewatch.id_of(moment timestamptz) RETURNS text LANGUAGE sql IMMUTABLE
AS $$ SELECT lpad(to_hex((extract(epoch FROM moment) * 1000000)::bigint), 14, '0') $$;

-- Ids sort by time, and within one moment by their order: 14 hex digits of microseconds, 8 of order, 4 of chance.
CREATE OR REPLACE FUNCTION gradewatch.make_id() RETURNS text LANGUAGE sql VOLATILE
AS $$
  SELECT gradewatch.id_of(gradewatch.clock())
      || lpad(to_hex(nextval('gradewatch.ids') & 4294967295), 8, '0')
      || lpad(to_hex((random() * 65535)::int), 4, '0')
$$;

-- json and not jsonb: a payload comes back as it was given, and jsonb holds no "\u0000", which scans do contain.
CREATE TABLE IF NOT EXISTS gradewatch.jobs (
  id             text        COLLATE "C" PRIMARY KEY,
  queue          text        NOT NULL COLLATE "C",
  kind           text        NOT NULL,
  key            text,
  state          text        NOT NULL DEFAULT 'pending' COLLATE "C"
                 CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'cancelled')),
  priority       bigint      NOT NULL DEFAULT 0,
  attempt        bigint      NOT NULL DEFAULT 0 CHECK (attempt >= 0),
  max_attempts   bigint      NOT NULL CHECK (max_attempts >= 1),
  lost           bigint      NOT NULL DEFAULT 0,
  token          bigint      NOT NULL DEFAULT 0,
  run_alone      boolean     NOT NULL DEFAULT false,
  session_id     text        COLLATE "C",
  created_at     timestamptz NOT NULL,
  run_at         timestamptz NOT NULL,
  started_at     timestamptz,
  finished_at    timestamptz,
  updated_at     timestamptz NOT NULL,
  waited         bigint      NOT NULL DEFAULT 0, -- microseconds this claim waited for a provider: they do not count
  progress_done  bigint      NOT NULL DEFAULT 0,
  progress_total bigint      NOT NULL DEFAULT 0,
  status_message text        NOT NULL DEFAULT '',
  payload        json        NOT NULL, -- an object; a CHECK would read it whole with every change of its row
  result         json,
  error_code     text,
  error_message  text,
  CHECK (state <> 'running' OR (session_id IS NOT NULL AND started_at IS NOT NULL)),
  CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000,
        autovacuum_analyze_scale_factor = 0.02);

-- Each state's questions are answered by an index over that state alone, so that finished rows cost them nothing.
CREATE UNIQUE INDEX IF NOT EXISTS jobs_key ON gradewatch.jobs (queue, key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_claim ON gradewatch.jobs (queue, priority DESC, created_at, id) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS jobs_waiting ON gradewatch.jobs (queue, run_at) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS jobs_running ON gradewatch.jobs (queue, started_at) WHERE state = 'running';
CREATE INDEX IF NOT EXISTS jobs_held ON gradewatch.jobs (session_id) WHERE state = 'running';
CREATE INDEX IF NOT EXISTS jobs_listing ON gradewatch.jobs (queue, state, id);

CREATE TABLE IF NOT EXISTS gradewatch.papers (
  job_id        text   NOT NULL COLLATE "C" REFERENCES gradewatch.jobs (id) ON DELETE CASCADE,
  idx           bigint NOT NULL,
  name          text   NOT NULL,
  status        text   NOT NULL,
  marks         double precision,
  max_marks     double precision NOT NULL,
  detail        json   NOT NULL,
  error_code    text,
  error_message text,
  times_written bigint NOT NULL DEFAULT 1,
  PRIMARY KEY (job_id, idx)
);

CREATE TABLE IF NOT EXISTS gradewatch.sessions (
  id          text PRIMARY KEY COLLATE "C",
  name        text NOT NULL,
  queues      json NOT NULL,
  slots       bigint NOT NULL,
  busy        bigint NOT NULL DEFAULT 0,
  host        text NOT NULL,
  pid         bigint NOT NULL,
  version     text NOT NULL,
  target      text NOT NULL,
  incarnation text NOT NULL,
  http        text NOT NULL,
  started_at  timestamptz NOT NULL,
  beat_at     timestamptz NOT NULL,
  beats       bigint NOT NULL DEFAULT 0,
  loop_age    double precision NOT NULL DEFAULT 0,
  ended_at    timestamptz,
  end_reason  text NOT NULL DEFAULT ''
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
CREATE INDEX IF NOT EXISTS sessions_open ON gradewatch.sessions (started_at) WHERE ended_at IS NULL;
CREATE INDEX IF NOT EXISTS sessions_ended ON gradewatch.sessions (ended_at) WHERE ended_at IS NOT NULL;

-- Queues that any worker has ever served: what tells "never seen" from "gone".
CREATE TABLE IF NOT EXISTS gradewatch.served_queues (
  queue    text PRIMARY KEY,
  first_at timestamptz NOT NULL
);

-- A job's row as the audit trail keeps it. Its payload never changes and stays on the job: copying it would only spread
-- what may be personal data.
CREATE OR REPLACE VIEW gradewatch.jobs_audited AS
  SELECT id, queue, kind, state, priority, attempt, max_attempts, lost, token, run_alone, session_id, created_at, run_at,
         started_at, finished_at, updated_at, progress_done, progress_total, status_message, error_code, error_message,
         result
  FROM gradewatch.jobs;

-- (after_state, after_token, at = jobs.updated_at) is how the change left the row.
CREATE TABLE IF NOT EXISTS gradewatch.audit (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  sweep         text NOT NULL,
  at            timestamptz NOT NULL,
  by            text NOT NULL,
  action        text NOT NULL,
  queue         text NOT NULL,
  subject       text NOT NULL,
  outcome       text NOT NULL,
  reason        text NOT NULL,
  message       text NOT NULL,
  before        gradewatch.jobs_audited,
  after_state   text,
  after_token   bigint,
  verified      boolean,
  undone_at     timestamptz
);
CREATE INDEX IF NOT EXISTS audit_sweep ON gradewatch.audit (sweep);
CREATE INDEX IF NOT EXISTS audit_subject ON gradewatch.audit (subject);
CREATE INDEX IF NOT EXISTS audit_restarts ON gradewatch.audit (at) WHERE action = 'restart';
-- What spends a budget: applied repairs that a watch decided on. A person's own act spends none.
CREATE INDEX IF NOT EXISTS audit_spent ON gradewatch.audit (action, at, queue)
  WHERE outcome = 'applied' AND reason <> 'operator';

CREATE TABLE IF NOT EXISTS gradewatch.leases (
  name       text PRIMARY KEY,
  holder     text NOT NULL,
  term       bigint NOT NULL,
  ttl        interval NOT NULL,
  expires_at timestamptz NOT NULL
);

CREATE TABLE IF NOT EXISTS gradewatch.pauses (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  started_at timestamptz NOT NULL,
  until      timestamptz,
  by         text NOT NULL,
  reason     text NOT NULL,
  resumed_at timestamptz,
  resumed_by text
);

CREATE TABLE IF NOT EXISTS gradewatch.credits (
  kind     text NOT NULL,
  start_at timestamptz NOT NULL,
  end_at   timestamptz NOT NULL,
  PRIMARY KEY (kind, start_at, end_at)
);
