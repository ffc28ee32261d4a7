-- Submitting jobs, and who gets which of them. The planner is told to walk the indexes these functions are made for,
-- because its statistics are always late for a table that fills and empties within minutes.

-- Which jobs need which paper files: a file that nobody refers to any more may go.
CREATE TABLE IF NOT EXISTS gradewatch.paper_refs (
  sha256 text NOT NULL,
  job_id text NOT NULL COLLATE "C" REFERENCES gradewatch.jobs (id) ON DELETE CASCADE,
  PRIMARY KEY (sha256, job_id)
);
CREATE INDEX IF NOT EXISTS paper_refs_job ON gradewatch.paper_refs (job_id);

-- jobs: [{queue, kind, key, priority, max_attempts, delay (microseconds), total, payload (JSON as a string, here and
-- wherever data of people travel: PostgreSQL cannot take json apart that has "\u0000" anywhere in it), papers:
-- [sha256]}]; answers their ids in order. A key already used in its queue answers the id of the job that has it.
CREATE OR REPLACE FUNCTION gradewatch.submit(new_jobs json) RETURNS json LANGUAGE plpgsql
SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET enable_seqscan = off AS $$
DECLARE
  moment timestamptz := clock();
  made json;
  known json;
BEGIN
  WITH given AS MATERIALIZED (
    SELECT make_id() AS id, g.* FROM ROWS FROM (json_to_recordset(new_jobs) AS (
      queue text, kind text, key text, priority bigint, max_attempts bigint, delay bigint, total bigint, payload text,
      papers json))
    WITH ORDINALITY AS g (queue, kind, key, priority, max_attempts, delay, total, payload, papers, place)
  ), inserted AS (
    INSERT INTO jobs (id, queue, kind, key, priority, max_attempts, created_at, run_at, updated_at, progress_total,
                      payload)
    SELECT id, queue, kind, key, priority, max_attempts, moment, moment + span(delay), moment, total, payload::json
    FROM given
    ON CONFLICT (queue, key) WHERE key IS NOT NULL DO NOTHING RETURNING id
  ), referred AS (
    INSERT INTO paper_refs (sha256, job_id)
    SELECT DISTINCT sha256, given.id
    FROM given JOIN inserted ON inserted.id = given.id, json_array_elements_text(given.papers) AS sha256
  )
  SELECT json_agg(json_build_object('id', inserted.id, 'queue', given.queue, 'key', given.key) ORDER BY place),
         json_agg(inserted.id ORDER BY place)
  INTO known, made FROM given LEFT JOIN inserted ON inserted.id = given.id;
  IF NOT EXISTS (SELECT FROM json_array_elements_text(made) AS id WHERE id IS NULL) THEN
    RETURN coalesce(made, '[]');
  END IF;
  -- A second look, because the first cannot see a job that was committed while it waited for it.
  SELECT json_agg(coalesce(one ->> 'id', jobs.id) ORDER BY place) INTO made
  FROM json_array_elements(known) WITH ORDINALITY AS k (one, place)
  LEFT JOIN jobs ON one ->> 'id' IS NULL AND jobs.queue = one ->> 'queue' AND jobs.key = one ->> 'key';
  IF EXISTS (SELECT FROM json_array_elements_text(made) AS id WHERE id IS NULL) THEN
    RAISE EXCEPTION 'a job with a key of this batch was purged meanwhile' USING ERRCODE = 'serialization_failure';
  END IF;
  RETURN made;
END $$;

-- Up to `most` eligible jobs by priority, then age, as {name: [value of each job]}; [] where there is none, null where
-- the session has ended. What others are claiming just now
-- is skipped. A job to be run alone is given only to a session that holds nothing, and then by itself.
CREATE OR REPLACE FUNCTION gradewatch.claim(session text, queues text[], kinds text[], most int) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET timezone = 'UTC'
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_incremental_sort = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  moment timestamptz := clock();
  holds int;
  holds_suspect boolean;
  claimed json;
BEGIN
  PERFORM FROM sessions WHERE id = session AND ended_at IS NULL;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  PERFORM pg_advisory_xact_lock(7233159, hashtext(session)); -- two claims of one session see each other's jobs
  SELECT count(*), coalesce(bool_or(run_alone), false) INTO holds, holds_suspect
  FROM jobs WHERE state = 'running' AND session_id = session;
  IF holds_suspect OR most <= 0 THEN
    RETURN '[]';
  END IF;
  -- A row changed in the future means that the clock was stepped back since: what waits for a time on the old clock
  -- would wait for the length of the step.
  WITH ready AS MATERIALIZED (
    SELECT r.id, r.run_alone, row_number() OVER (ORDER BY r.priority DESC, r.created_at, r.id) AS place
    FROM (SELECT DISTINCT unnest(queues) AS queue) AS wanted
    CROSS JOIN LATERAL (
      SELECT id, priority, created_at, run_alone FROM jobs
      WHERE state = 'pending' AND jobs.queue = wanted.queue AND kind = ANY (kinds)
        AND (run_at <= moment OR updated_at > moment)
      ORDER BY priority DESC, created_at, id LIMIT most
      FOR UPDATE SKIP LOCKED
    ) AS r
    ORDER BY place LIMIT most
  ), first_suspect AS MATERIALIZED (
    SELECT min(place) AS place FROM ready WHERE run_alone
  ), chosen AS (
    SELECT ready.id FROM ready, first_suspect AS suspect
    WHERE suspect.place IS NULL OR ready.place < suspect.place
      OR (ready.place = 1 AND suspect.place = 1 AND holds = 0)
  ), changed AS (
    UPDATE jobs SET state = 'running', attempt = attempt + 1, token = token + 1, session_id = session,
      started_at = moment, updated_at = moment, waited = 0
    FROM chosen WHERE jobs.id = chosen.id RETURNING jobs.*
  )
  SELECT json_build_object( -- by column, for that is quicker written and read than row by row
    'id', json_agg(id), 'queue', json_agg(queue), 'kind', json_agg(kind), 'state', json_agg(state),
    'priority', json_agg(priority), 'attempt', json_agg(attempt), 'max_attempts', json_agg(max_attempts),
    'lost', json_agg(lost), 'token', json_agg(token), 'run_alone', json_agg(run_alone),
    'session_id', json_agg(session_id), 'created_at', json_agg(created_at), 'run_at', json_agg(run_at),
    'started_at', json_agg(started_at), 'finished_at', json_agg(finished_at), 'updated_at', json_agg(updated_at),
    'progress_done', json_agg(progress_done), 'progress_total', json_agg(progress_total),
    'status_message', json_agg(status_message), 'payload', json_agg(payload), 'result', json_agg(result),
    'error_code', json_agg(error_code), 'error_message', json_agg(error_message))
  INTO claimed FROM (SELECT * FROM changed ORDER BY priority DESC, created_at, id) AS c HAVING count(*) > 0;
  RETURN coalesce(claimed, '[]');
END $$;

-- That very pending job, as {job}; {problem: "session" | "absent" | a state} where it cannot be had.
CREATE OR REPLACE FUNCTION gradewatch.claim_job(session text, wanted text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET timezone = 'UTC' AS $$
DECLARE
  moment timestamptz := clock();
  claimed json;
BEGIN
  PERFORM FROM sessions WHERE id = session AND ended_at IS NULL;
  IF NOT FOUND THEN
    RETURN json_build_object('problem', 'session');
  END IF;
  WITH changed AS (
    UPDATE jobs SET state = 'running', attempt = attempt + 1, token = token + 1, session_id = session,
      started_at = moment, updated_at = moment, waited = 0
    WHERE id = wanted AND state = 'pending' RETURNING jobs.*
  )
  SELECT json_build_object('job', changed) INTO claimed FROM changed;
  RETURN coalesce(claimed, json_build_object('problem', coalesce((SELECT state FROM jobs WHERE id = wanted), 'absent')));
END $$;
