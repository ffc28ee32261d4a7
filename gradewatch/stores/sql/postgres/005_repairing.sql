-- Guarded repairs: by a watch, by a person, and back again. Each re-checks what was read, and each leaves its line in
-- the audit trail in the same transaction.

-- Without settings of its own, so that it becomes part of the statement around it: it runs by the hundred thousand.
CREATE OR REPLACE FUNCTION gradewatch.before(job gradewatch.jobs) RETURNS gradewatch.jobs_audited LANGUAGE sql STABLE
AS $$
  SELECT ROW(
    job.id, job.queue, job.kind, job.state, job.priority, job.attempt, job.max_attempts, job.lost, job.token,
    job.run_alone, job.session_id, job.created_at, job.run_at, job.started_at, job.finished_at, job.updated_at,
    job.progress_done, job.progress_total, job.status_message, job.error_code, job.error_message, job.result
  )::gradewatch.jobs_audited
$$;

CREATE OR REPLACE FUNCTION gradewatch.with_detail(message text, detail text) RETURNS text LANGUAGE sql IMMUTABLE
AS $$ SELECT CASE WHEN detail = '' THEN message ELSE message || ' (' || detail || ')' END $$;

-- actions: [{kind, queue, reason, message, code, error, run_alone, state, ids, tokens, session_ids, run_ats (ISO 8601)}],
-- each the same repair of many jobs, which the four lists tell; no job twice. Answers [[place, applied, detail]] of those
-- that did not go as asked, places counted from 0 through all lists. A requeue of a job without an attempt left fails it:
-- pending, it would be claimed for ever.
CREATE OR REPLACE FUNCTION gradewatch.repair(actions json, in_sweep text, by_whom text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET timezone = 'UTC'
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  moment timestamptz := clock();
  answers json;
BEGIN
  WITH given AS MATERIALIZED (
    SELECT a.kind, a.queue, a.reason, a.message, a.code, a.error, a.run_alone, a.state, job.id, job.token,
           job.session_id, job.run_at, row_number() OVER (ORDER BY a.place, job.place) - 1 AS place
    FROM ROWS FROM (json_to_recordset(actions) AS (
      kind text, queue text, reason text, message text, code text, error text, run_alone boolean, state text,
      ids text[], tokens bigint[], session_ids text[], run_ats timestamptz[]))
    WITH ORDINALITY AS a (kind, queue, reason, message, code, error, run_alone, state, ids, tokens, session_ids,
                          run_ats, place),
    LATERAL unnest(a.ids, a.tokens, a.session_ids, a.run_ats)
    WITH ORDINALITY AS job (id, token, session_id, run_at, place)
  ), judged AS MATERIALIZED (
    SELECT given.*, CASE WHEN there.id IS NOT NULL THEN before(there) END AS before,
           given.kind = 'requeue' AND there.attempt >= there.max_attempts AS spent, there.max_attempts,
           CASE
             WHEN there.id IS NULL THEN 'the job is no longer there as it was'
             WHEN there.state <> given.state OR given.state NOT IN ('pending', 'running')
               OR (given.kind = 'requeue' AND given.state <> 'running') THEN 'the job is ' || there.state || ' by now'
             WHEN there.token <> given.token THEN 'the job was claimed again meanwhile'
             -- it was put back by hand: state and token are as before
             WHEN given.state = 'pending' AND there.run_at <> given.run_at THEN 'the job''s wait began anew meanwhile'
             WHEN given.kind <> 'expire' AND there.session_id IS DISTINCT FROM given.session_id
               THEN 'the job is held by another session by now'
             ELSE ''
           END AS difference
    FROM (SELECT * FROM given ORDER BY id) AS given -- locked in order of id, as everywhere
    LEFT JOIN LATERAL (SELECT * FROM jobs WHERE jobs.id = given.id FOR UPDATE) AS there ON true
  ), ruled AS MATERIALIZED (
    SELECT place, id, queue, reason, message, code, error, run_alone, token, before, difference = '' AS applied,
           CASE WHEN spent AND difference = '' THEN 'fail' ELSE kind END AS kind,
           CASE WHEN spent AND difference = '' THEN 'all ' || max_attempts || ' attempts are spent: failed instead'
                ELSE difference END AS detail
    FROM judged
  ), changed AS (
    UPDATE jobs SET
      state = CASE ruled.kind WHEN 'requeue' THEN 'pending' ELSE 'failed' END,
      finished_at = CASE WHEN ruled.kind <> 'requeue' THEN moment END,
      error_code = CASE WHEN ruled.kind <> 'requeue' THEN ruled.code ELSE jobs.error_code END,
      error_message = CASE WHEN ruled.kind <> 'requeue' THEN ruled.error ELSE jobs.error_message END,
      lost = jobs.lost + (ruled.kind <> 'expire' AND jobs.state = 'running')::int,
      run_alone = CASE ruled.kind WHEN 'requeue' THEN ruled.run_alone ELSE jobs.run_alone END,
      run_at = CASE ruled.kind WHEN 'requeue' THEN moment ELSE jobs.run_at END,
      session_id = CASE WHEN ruled.kind <> 'requeue' THEN jobs.session_id END,
      started_at = CASE WHEN ruled.kind <> 'requeue' THEN jobs.started_at END,
      updated_at = moment
    FROM ruled WHERE jobs.id = ruled.id AND ruled.applied
  ), written AS (
    INSERT INTO audit (sweep, at, by, action, queue, subject, outcome, reason, message, before,
                       after_state, after_token)
    SELECT in_sweep, moment, by_whom, kind, queue, id, CASE WHEN applied THEN 'applied' ELSE 'noop' END, reason,
           with_detail(message, detail), before,
           CASE WHEN applied THEN CASE kind WHEN 'requeue' THEN 'pending' ELSE 'failed' END END,
           CASE WHEN applied THEN token END
    FROM ruled ORDER BY place
  )
  SELECT json_agg(json_build_array(place, applied, detail) ORDER BY place) INTO answers FROM ruled WHERE detail <> '';
  RETURN coalesce(answers, '[]');
END $$;

-- One job by hand; the verb is 'requeue', 'fail' or 'cancel'. Answers {job}, or {problem, state}, the problem
-- being 'absent', 'moved' or 'state'. Such entries carry the reason 'operator'; they spend no budget.
CREATE OR REPLACE FUNCTION gradewatch.operate(
  job text, verb text, by_whom text, in_sweep text, message text, seen_state text, seen_token bigint) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET timezone = 'UTC' AS $$
DECLARE
  moment timestamptz := clock();
  old jobs;
  changed jobs;
  allowed text[] := CASE verb WHEN 'requeue' THEN '{running,failed,cancelled}' ELSE '{pending,running}' END;
BEGIN
  SELECT * INTO old FROM jobs WHERE id = job FOR UPDATE;
  IF NOT FOUND THEN
    RETURN json_build_object('problem', 'absent');
  ELSIF seen_state IS NOT NULL AND (old.state, old.token) <> (seen_state, seen_token) THEN
    RETURN json_build_object('problem', 'moved', 'state', old.state);
  ELSIF old.state <> ALL (allowed) THEN
    RETURN json_build_object('problem', 'state', 'state', old.state);
  END IF;
  IF verb = 'requeue' THEN
    UPDATE jobs SET state = 'pending', run_at = moment, session_id = NULL, started_at = NULL, finished_at = NULL,
      attempt = 0, lost = 0, run_alone = false, result = NULL, error_code = NULL, error_message = NULL,
      updated_at = moment
    WHERE id = job RETURNING * INTO changed;
  ELSE
    UPDATE jobs SET state = CASE verb WHEN 'fail' THEN 'failed' ELSE 'cancelled' END, finished_at = moment,
      error_code = CASE verb WHEN 'fail' THEN 'failed_by_operator' ELSE 'cancelled' END,
      error_message = operate.message, updated_at = moment
    WHERE id = job RETURNING * INTO changed;
  END IF;
  INSERT INTO audit (sweep, at, by, action, queue, subject, outcome, reason, message, before, after_state,
                     after_token)
  VALUES (in_sweep, moment, by_whom, verb, old.queue, job, 'applied', 'operator', operate.message, before(old),
          changed.state, changed.token);
  RETURN json_build_object('job', changed);
END $$;

-- Put back up to `most` changes of a sweep with ids under `before_id`, the newest first, where each row is still as the
-- change left it; updated_at is the time of the change itself only while nothing else has touched the row. A job that
-- was running comes back as pending, that attempt given back: its worker was told to stop. Answers [{entry, done}].
CREATE OR REPLACE FUNCTION gradewatch.undo(of_sweep text, by_whom text, before_id bigint, most int) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET timezone = 'UTC' AS $$
DECLARE
  moment timestamptz := clock();
  entry audit;
  old jobs_audited;
  done boolean;
  answers json[] := '{}';
BEGIN
  FOR entry IN
    SELECT * FROM audit WHERE sweep = of_sweep AND id < before_id AND outcome = 'applied' AND action <> 'undo'
      AND undone_at IS NULL AND after_state IS NOT NULL
    ORDER BY id DESC LIMIT most FOR UPDATE
  LOOP
    old := entry.before;
    UPDATE jobs SET
      state = CASE old.state WHEN 'running' THEN 'pending' ELSE old.state END,
      attempt = old.attempt - (old.state = 'running')::int,
      lost = old.lost, run_alone = old.run_alone, session_id = NULL,
      run_at = CASE WHEN old.state IN ('pending', 'running') THEN moment ELSE old.run_at END,
      started_at = CASE WHEN old.state <> 'running' THEN old.started_at END,
      finished_at = old.finished_at, updated_at = moment, result = old.result,
      error_code = old.error_code, error_message = old.error_message
    WHERE id = entry.subject AND state = entry.after_state AND token = entry.after_token AND updated_at = entry.at;
    done := FOUND;
    IF done THEN
      UPDATE audit SET undone_at = moment WHERE id = entry.id RETURNING * INTO entry;
    END IF;
    INSERT INTO audit (sweep, at, by, action, queue, subject, outcome, reason, message)
    VALUES (entry.sweep, moment, by_whom, 'undo', entry.queue, entry.subject,
            CASE WHEN done THEN 'applied' ELSE 'noop' END, entry.reason,
            CASE WHEN done THEN 'undid ' || entry.action
                 ELSE 'the job is no longer as the ' || entry.action || ' left it' END);
    answers := answers || json_build_object('entry', entry, 'done', done);
  END LOOP;
  RETURN array_to_json(answers);
END $$;

-- entry: {sweep, by, action, queue, subject, outcome, reason, message}; answers its id.
CREATE OR REPLACE FUNCTION gradewatch.record(entry json) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
DECLARE
  made bigint;
BEGIN
  INSERT INTO audit (sweep, at, by, action, queue, subject, outcome, reason, message)
  SELECT sweep, clock(), by, action, queue, subject, outcome, reason, message
  FROM json_to_record(entry) AS e (sweep text, by text, action text, queue text, subject text, outcome text,
                                   reason text, message text)
  RETURNING id INTO made;
  RETURN made;
END $$;

-- False: there is no such entry (any more). What is null stays as it is.
CREATE OR REPLACE FUNCTION gradewatch.amend(entry bigint, new_outcome text, new_verified boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
BEGIN
  UPDATE audit SET outcome = coalesce(new_outcome, outcome), verified = coalesce(new_verified, verified)
  WHERE id = entry;
  RETURN FOUND;
END $$;
