-- How workers let go of what they held, by the hundred in one statement.

-- finishes: [{id, token, kind, result (JSON as a string), code, message, delay (microseconds)}]; answers which of them
-- were still held. A retry without an attempt left is a failure. On a release run_at stays: the job has waited
-- since it was eligible.
CREATE OR REPLACE FUNCTION gradewatch.finish(finishes json) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  moment timestamptz := clock();
  places bigint[];
  many bigint := json_array_length(finishes);
BEGIN
  WITH given AS MATERIALIZED (
    SELECT * FROM ROWS FROM (json_to_recordset(finishes) AS (
      id text, token bigint, kind text, result text, code text, message text, delay bigint))
    WITH ORDINALITY AS g (id, token, kind, result, code, message, delay, place)
  ), once AS MATERIALIZED ( -- a second finish of one claim comes too late
    SELECT DISTINCT ON (id, token) * FROM given ORDER BY id, token, place
  ), locked AS MATERIALIZED ( -- in order of id, as everywhere, so that no two wait for each other
    SELECT once.*, jobs.state, jobs.queue, jobs.attempt, jobs.max_attempts
    FROM once JOIN jobs ON jobs.id = once.id AND jobs.token = once.token
    ORDER BY jobs.id FOR NO KEY UPDATE OF jobs
  ), held AS MATERIALIZED ( -- the state is asked here, lest the planner join by an index over all that is running
    SELECT place, id, result, code, message, delay, queue,
           CASE WHEN kind = 'retry' AND attempt >= max_attempts THEN 'fail' ELSE kind END AS kind
    FROM locked WHERE state = 'running'
  ), changed AS (
    UPDATE jobs SET
      state = CASE held.kind WHEN 'succeed' THEN 'succeeded' WHEN 'fail' THEN 'failed' ELSE 'pending' END,
      finished_at = CASE WHEN held.kind IN ('succeed', 'fail') THEN moment END,
      result = CASE WHEN held.kind IN ('succeed', 'fail') THEN held.result::json ELSE jobs.result END,
      error_code = CASE WHEN held.kind = 'release' THEN jobs.error_code ELSE held.code END,
      error_message = CASE WHEN held.kind = 'release' THEN jobs.error_message ELSE held.message END,
      run_at = CASE WHEN held.kind = 'retry' THEN moment + span(held.delay) ELSE jobs.run_at END,
      attempt = jobs.attempt - (held.kind = 'release')::int,
      session_id = CASE WHEN held.kind IN ('succeed', 'fail') THEN jobs.session_id END,
      started_at = CASE WHEN held.kind IN ('succeed', 'fail') THEN jobs.started_at END,
      updated_at = moment
    FROM held WHERE jobs.id = held.id
  ), worked AS ( -- only a worker's own finish shows that work gets done; what a repair fails must not look like it
    INSERT INTO deltas (queue, name, amount, at)
    SELECT queue, 'worked', count(*), moment FROM held WHERE kind IN ('succeed', 'fail') GROUP BY queue
  )
  SELECT coalesce(array_agg(place), '{}') INTO places FROM held;
  RETURN (SELECT coalesce(json_agg(cardinality(places) = many OR place = ANY (places) ORDER BY place), '[]')
          FROM generate_series(1::bigint, many) AS place);
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA gradewatch FROM PUBLIC;
