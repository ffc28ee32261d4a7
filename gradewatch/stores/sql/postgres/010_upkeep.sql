-- The store as a whole: is it as it should be, and what is so old that it may go.

-- {version, now, served: [queue], indexes: [name], triggers: [name], exact_depth}; of indexes, those that are usable.
CREATE OR REPLACE FUNCTION gradewatch."check"(queues text[]) RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET timezone = 'UTC' AS $$
  SELECT json_build_object(
    'version', (SELECT value::int FROM meta WHERE key = 'schema_version'),
    'now', clock(),
    'served', (SELECT coalesce(json_agg(queue), '[]') FROM served_queues WHERE queue = ANY (queues)),
    'indexes', (SELECT coalesce(json_agg(c.relname), '[]') FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
                WHERE c.relnamespace = 'gradewatch'::regnamespace AND i.indisvalid),
    'triggers', (SELECT coalesce(json_agg(tgname), '[]') FROM pg_trigger
                 WHERE tgrelid = 'gradewatch.jobs'::regclass AND NOT tgisinternal AND tgenabled <> 'D'),
    'exact_depth', NOT EXISTS (SELECT FROM meta WHERE key = 'exact_depth' AND value = 'false'))
$$;

-- Delete up to `most` rows of one kind that are older than `age` microseconds; what belongs to a job goes with it.
CREATE OR REPLACE FUNCTION gradewatch.purge(what text, age bigint, most int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  old_enough timestamptz := clock() - span(age);
  gone int;
BEGIN
  CASE what
    WHEN 'jobs' THEN -- an id tells when its job was made, before which it cannot have finished: no index on that time
      DELETE FROM jobs WHERE id = ANY (ARRAY( -- an array is made once; a subquery may be run again for each row
        SELECT one.id FROM unnest(all_queues()) AS q
        CROSS JOIN unnest('{succeeded,failed,cancelled}'::text[]) AS s
        CROSS JOIN LATERAL (
          SELECT id FROM jobs
          WHERE (queue, state, id) >= (q, s, '') AND (queue, state, id) < (q, s, id_of(old_enough))
            AND finished_at < old_enough
          ORDER BY queue, state, id LIMIT most FOR UPDATE SKIP LOCKED) AS one
        LIMIT most));
    WHEN 'sessions' THEN
      DELETE FROM sessions WHERE id = ANY (ARRAY(SELECT id FROM sessions WHERE ended_at < old_enough LIMIT most));
    WHEN 'audit' THEN -- written in order of time, so that its oldest entries are its first: no index on the time
      DELETE FROM audit WHERE at < old_enough AND id = ANY (ARRAY(SELECT id FROM audit ORDER BY id LIMIT most));
    WHEN 'pages' THEN
      DELETE FROM pages WHERE key = ANY (ARRAY(
        SELECT key FROM pages WHERE at < old_enough ORDER BY at LIMIT most));
    WHEN 'spending' THEN
      DELETE FROM spending WHERE scope = ANY (ARRAY(
        SELECT scope FROM spending WHERE at < old_enough ORDER BY at LIMIT most));
  END CASE;
  GET DIAGNOSTICS gone = ROW_COUNT;
  RETURN gone;
END $$;

-- Credits and pauses so old that no job's wait can reach back to them.
CREATE OR REPLACE FUNCTION gradewatch.purge_credits() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  DELETE FROM credits WHERE end_at < clock() - interval '2 days';
  DELETE FROM pauses WHERE least(until, resumed_at) < clock() - interval '2 days'
$$;
