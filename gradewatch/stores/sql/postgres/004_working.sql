-- What a worker writes: about the jobs it holds, each write fenced by the token it claimed with, and about itself.

-- False: the claim is no longer held, and nothing was written.
CREATE OR REPLACE FUNCTION gradewatch.progress(job text, held_token bigint, done bigint, total bigint, message text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off
SET enable_seqscan = off AS $$
BEGIN
  UPDATE jobs SET progress_done = done, progress_total = total, status_message = message, updated_at = clock()
  WHERE id = job AND state = 'running' AND token = held_token;
  RETURN FOUND;
END $$;

-- Time in which this claim waited for a provider, in microseconds: the larger figure holds. False: no longer held.
CREATE OR REPLACE FUNCTION gradewatch.credit_wait(job text, held_token bigint, span bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET enable_seqscan = off AS $$
BEGIN
  UPDATE jobs SET waited = greatest(waited, span) WHERE id = job AND state = 'running' AND token = held_token;
  RETURN FOUND;
END $$;

-- paper: {idx, name, status, marks, max_marks, code, message}; detail: JSON. False: no longer held.
CREATE OR REPLACE FUNCTION gradewatch.save_paper(job text, held_token bigint, paper json, detail text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET enable_seqscan = off AS $$
DECLARE
  in_queue text;
  written bigint;
  given record;
BEGIN
  SELECT queue INTO in_queue FROM jobs WHERE id = job AND state = 'running' AND token = held_token FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  SELECT * INTO given FROM json_to_record(paper) AS p (
    idx bigint, name text, status text, marks float8, max_marks float8, code text, message text);
  INSERT INTO papers AS p (job_id, idx, name, status, marks, max_marks, detail, error_code, error_message, token)
  VALUES (job, given.idx, given.name, given.status, given.marks, given.max_marks, detail::json,
          given.code, given.message, held_token)
  ON CONFLICT (job_id, idx) DO UPDATE SET
    name = excluded.name, status = excluded.status, marks = excluded.marks, max_marks = excluded.max_marks,
    detail = excluded.detail, error_code = excluded.error_code, error_message = excluded.error_message,
    token = excluded.token, times_written = p.times_written + 1
  WHERE (p.token, p.name, p.status, p.marks, p.max_marks, p.detail::text, p.error_code, p.error_message)
    IS DISTINCT FROM (excluded.token, excluded.name, excluded.status, excluded.marks, excluded.max_marks,
                      excluded.detail::text, excluded.error_code, excluded.error_message)
  RETURNING times_written INTO written;
  IF written IS NULL THEN
    RETURN true;
  END IF;
  UPDATE jobs SET progress_done = progress_done + (written = 1)::int, updated_at = clock() WHERE id = job;
  INSERT INTO deltas (queue, name, amount) VALUES (in_queue, 'paper:' || given.status, 1);
  RETURN true;
END $$;

-- session: {name, queues, slots, host, pid, version, target, incarnation, http}; answers its id.
CREATE OR REPLACE FUNCTION gradewatch.open_session(session json) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
DECLARE
  made text := make_id();
BEGIN
  INSERT INTO sessions (id, name, queues, slots, host, pid, version, target, incarnation, http, started_at, beat_at)
  SELECT made, name, queues, slots, host, pid, version, target, incarnation, http, clock(), clock()
  FROM json_to_record(session) AS s (name text, queues json, slots bigint, host text, pid bigint, version text,
                                     target text, incarnation text, http text);
  INSERT INTO served_queues (queue, first_at)
  SELECT DISTINCT queue, clock() FROM json_array_elements_text(session -> 'queues') AS queue ORDER BY queue
  ON CONFLICT DO NOTHING;
  RETURN made;
END $$;

-- Answers the claims still held as [[id, token]], or null where the session has ended. They are read after the beat was
-- written, in its transaction.
CREATE OR REPLACE FUNCTION gradewatch.beat(session text, pulse_age float8, busy_slots bigint) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET enable_seqscan = off AS $$
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true); -- a beat that a crash takes away is followed by the next
  UPDATE sessions SET beats = beats + 1, beat_at = clock(), loop_age = pulse_age, busy = busy_slots
  WHERE id = session AND ended_at IS NULL;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  PERFORM fold(1000);
  RETURN (SELECT coalesce(json_agg(json_build_array(id, token)), '[]')
          FROM jobs WHERE state = 'running' AND session_id = session);
END $$;

-- False: it had ended already, or has beaten since `beats_read`.
CREATE OR REPLACE FUNCTION gradewatch.end_session(session text, reason text, beats_read bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
BEGIN
  UPDATE sessions SET ended_at = clock(), end_reason = reason, busy = 0
  WHERE id = session AND ended_at IS NULL AND (beats_read IS NULL OR beats = beats_read);
  RETURN FOUND;
END $$;
