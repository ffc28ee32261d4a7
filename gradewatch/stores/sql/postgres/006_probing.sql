-- What probes, listings and pages read: a few walks of an index, however many rows there are.

-- The depth of one state: the exact sum, or where that is turned off a count up to `cap`. Answers [count, exact].
CREATE OR REPLACE FUNCTION gradewatch.depth(of_queue text, of_state text, summed bigint, cap int) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off
SET enable_seqscan = off AS $$
DECLARE
  counted bigint;
BEGIN
  IF NOT EXISTS (SELECT FROM meta WHERE key = 'exact_depth' AND value = 'false') THEN
    RETURN json_build_array(coalesce(summed, 0), true);
  END IF;
  SELECT count(*) INTO counted
  FROM (SELECT FROM jobs WHERE queue = of_queue AND state = of_state LIMIT cap + 1) AS capped;
  RETURN json_build_array(least(counted, cap), counted <= cap);
END $$;

-- {now, pending: [count, exact], running: [count, exact], oldest_pending, oldest_running,
--  tallies: [[name, bucket, amount, total (microseconds), at]]}
CREATE OR REPLACE FUNCTION gradewatch.stats(of_queue text, cap int DEFAULT 10000) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET timezone = 'UTC'
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
  facts json;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true); -- what a crash unfolds is there to be folded again
  PERFORM fold(10000);
  WITH parts AS (
    SELECT name, bucket, amount, total, at, 0 AS id FROM tallies WHERE queue = of_queue
    UNION ALL
    SELECT name, bucket, amount, total, at, id FROM deltas WHERE queue = of_queue
  ), sums AS (
    SELECT name, bucket, sum(amount)::bigint AS amount, sum(total)::bigint AS total,
           (array_agg(at ORDER BY id DESC) FILTER (WHERE at IS NOT NULL))[1] AS at
    FROM parts GROUP BY name, bucket
  )
  SELECT json_build_object(
    'now', clock(),
    'pending', depth(of_queue, 'pending', (SELECT amount FROM sums WHERE name = 'pending'), cap),
    'running', depth(of_queue, 'running', (SELECT amount FROM sums WHERE name = 'running'), cap),
    -- The earliest run_at is the longest eligible job's, unless it lies ahead: then none is eligible.
    'oldest_pending', (SELECT CASE WHEN run_at <= clock() THEN run_at END FROM jobs
                       WHERE state = 'pending' AND queue = of_queue ORDER BY run_at LIMIT 1),
    'oldest_running', (SELECT started_at FROM jobs
                       WHERE state = 'running' AND queue = of_queue ORDER BY started_at LIMIT 1),
    'tallies', (SELECT coalesce(json_agg(json_build_array(name, bucket, amount, total, at)), '[]') FROM sums)
  ) INTO facts;
  RETURN facts;
END $$;

-- What a repair must know of a job.
CREATE OR REPLACE VIEW gradewatch.jobs_seen AS
  SELECT id, queue, kind, state, token, attempt, max_attempts, lost, session_id, run_at, started_at, waited
  FROM gradewatch.jobs;

CREATE OR REPLACE FUNCTION gradewatch.seen(job gradewatch.jobs) RETURNS gradewatch.jobs_seen LANGUAGE sql STABLE AS $$
  SELECT ROW(
    job.id, job.queue, job.kind, job.state, job.token, job.attempt, job.max_attempts, job.lost, job.session_id,
    job.run_at, job.started_at, job.waited
  )::gradewatch.jobs_seen
$$;

-- By column, {name: [value of each job]}, for that is quicker written and read than row by row; without jobs the ids
-- are [] and all others null.
CREATE OR REPLACE FUNCTION gradewatch.by_column(found gradewatch.jobs_seen[]) RETURNS json LANGUAGE sql STABLE AS $$
  SELECT json_build_object(
    'id', coalesce(json_agg(id), '[]'), 'queue', json_agg(queue), 'kind', json_agg(kind), 'state', json_agg(state),
    'token', json_agg(token), 'attempt', json_agg(attempt), 'max_attempts', json_agg(max_attempts),
    'lost', json_agg(lost), 'session_id', json_agg(session_id), 'run_at', json_agg(run_at),
    'started_at', json_agg(started_at), 'waited', json_agg(waited))
  FROM unnest(found)
$$;

-- Pending jobs that wait, or running jobs that run, for more than `age` microseconds, oldest first; kinds: null means
-- all. A run's time of waiting for providers does not count.
CREATE OR REPLACE FUNCTION gradewatch.overdue(of_queue text, of_state text, age bigint, kinds text[], most int)
RETURNS json LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off
SET timezone = 'UTC' SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
  before_that timestamptz := clock() - span(age);
BEGIN
  IF of_state = 'pending' THEN
    RETURN by_column(ARRAY(
      SELECT seen(jobs) FROM jobs WHERE state = 'pending' AND queue = of_queue AND run_at < before_that
        AND (kinds IS NULL OR kind = ANY (kinds))
      ORDER BY run_at LIMIT most));
  END IF;
  RETURN by_column(ARRAY(
    SELECT seen(jobs) FROM jobs WHERE state = 'running' AND queue = of_queue AND started_at < before_that
      AND started_at + span(waited) < before_that AND (kinds IS NULL OR kind = ANY (kinds))
    ORDER BY started_at LIMIT most));
END $$;

-- Running jobs whose session is in `absent`, has ended, or does not exist, oldest first.
CREATE OR REPLACE FUNCTION gradewatch.held(of_queue text, absent text[], kinds text[], most int) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off
SET timezone = 'UTC' SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
  RETURN by_column(ARRAY(
    SELECT seen(jobs) FROM jobs WHERE state = 'running' AND queue = of_queue AND (kinds IS NULL OR kind = ANY (kinds))
      AND (session_id = ANY (absent) OR NOT EXISTS (
        SELECT FROM sessions WHERE sessions.id = jobs.session_id AND sessions.ended_at IS NULL))
    ORDER BY started_at LIMIT most));
END $$;

-- Sessions that are open, and those ended within the last five minutes.
CREATE OR REPLACE FUNCTION gradewatch.list_sessions() RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET timezone = 'UTC' AS $$
  SELECT coalesce(json_agg(s ORDER BY started_at, id), '[]')
  FROM sessions AS s WHERE ended_at IS NULL OR ended_at > clock() - interval '5 minutes'
$$;

CREATE OR REPLACE FUNCTION gradewatch.get_job(job text) RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET timezone = 'UTC' AS $$
  SELECT row_to_json(j) FROM jobs AS j WHERE id = job
$$;

-- The queues that have jobs: a walk of jobs_listing that skips from one to the next.
CREATE OR REPLACE FUNCTION gradewatch.all_queues() RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
  WITH RECURSIVE there AS (
    (SELECT queue FROM jobs ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT jobs.queue FROM jobs WHERE jobs.queue > there.queue ORDER BY jobs.queue LIMIT 1)
    FROM there WHERE there.queue IS NOT NULL
  )
  SELECT coalesce(array_agg(queue), '{}') FROM there WHERE queue IS NOT NULL
$$;

-- Newest first, those before the id `before_id`. Each (queue, state) is an ordered walk of jobs_listing, however rare
-- it is among the rows.
CREATE OR REPLACE FUNCTION gradewatch.list_jobs(of_queue text, of_state text, most int, before_id text) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET timezone = 'UTC'
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
  names text[] := ARRAY[of_queue];
  newest text[];
BEGIN
  IF of_queue IS NULL AND of_state IS NULL THEN
    newest := ARRAY(SELECT id FROM jobs WHERE before_id IS NULL OR id < before_id ORDER BY id DESC LIMIT most);
  ELSE
    IF of_queue IS NULL THEN
      names := all_queues();
    END IF;
    newest := ARRAY(
      SELECT one.id FROM unnest(names) AS q
      CROSS JOIN unnest('{pending,running,succeeded,failed,cancelled}'::text[]) AS s
      CROSS JOIN LATERAL (
        -- as rows, for which only jobs_listing has the order: else the planner may walk all ids for a rare state
        SELECT id FROM jobs
        WHERE (queue, state, id) >= (q, s, '') AND (queue, state, id) < (q, s, coalesce(before_id, 'g'))
        ORDER BY queue DESC, state DESC, id DESC LIMIT most) AS one
      WHERE of_state IS NULL OR s = of_state
      ORDER BY one.id DESC LIMIT most);
  END IF;
  RETURN (SELECT coalesce(json_agg(j ORDER BY id DESC), '[]') FROM jobs AS j WHERE id = ANY (newest));
END $$;

CREATE OR REPLACE FUNCTION gradewatch.list_papers(job text) RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  SELECT coalesce(json_agg(p ORDER BY idx), '[]') FROM papers AS p WHERE job_id = job
$$;

-- Newest first; each criterion may be null.
CREATE OR REPLACE FUNCTION gradewatch.list_audit(most int, of_sweep text, of_subject text, before_id bigint)
RETURNS json LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off
SET timezone = 'UTC' SET plan_cache_mode = force_custom_plan AS $$
BEGIN
  RETURN (SELECT coalesce(json_agg(a ORDER BY id DESC), '[]') FROM (
    SELECT * FROM audit WHERE (of_sweep IS NULL OR sweep = of_sweep) AND (of_subject IS NULL OR subject = of_subject)
      AND (before_id IS NULL OR id < before_id)
    ORDER BY id DESC LIMIT most) AS a);
END $$;
