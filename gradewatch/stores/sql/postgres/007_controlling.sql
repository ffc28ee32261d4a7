-- What a watch must remember over its own restarts: pauses, credits, restarts, spent budgets; and leases.

CREATE OR REPLACE FUNCTION gradewatch.is_on(pause gradewatch.pauses) RETURNS boolean LANGUAGE sql STABLE
AS $$ SELECT pause.resumed_at IS NULL AND (pause.until IS NULL OR pause.until > gradewatch.clock()) $$;

-- windows: {action: microseconds}; answers {now, pause, resumed_at, credits, restarts,
-- spent: [[action, queue, count]]}. Credits reach back two days: longer nobody could be blamed for waiting. Lists are
-- oldest first.
CREATE OR REPLACE FUNCTION gradewatch.control(windows json) RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET timezone = 'UTC' AS $$
  SELECT json_build_object(
    'now', clock(),
    'pause', (SELECT row_to_json(p) FROM pauses AS p WHERE is_on(p) ORDER BY id DESC LIMIT 1),
    'resumed_at', (SELECT value::timestamptz FROM meta WHERE key = 'resumed_at'),
    'credits', (SELECT coalesce(json_agg(json_build_array(kind, start_at, end_at) ORDER BY end_at), '[]') FROM (
      SELECT * FROM (
        SELECT kind, start_at, end_at FROM credits
        UNION ALL
        SELECT 'pause', started_at, least(until, resumed_at, clock()) FROM pauses) AS all_credits
      WHERE end_at > clock() - interval '2 days' AND end_at > start_at ORDER BY end_at DESC LIMIT 1000) AS newest),
    'restarts', (SELECT coalesce(json_agg(r ORDER BY at, id), '[]') FROM (
      SELECT id, subject, queue, at, outcome, verified FROM audit
      WHERE at > clock() - interval '1 day' AND action = 'restart' AND outcome IN ('applied', 'failed')
      ORDER BY at DESC, id DESC LIMIT 100) AS r),
    'spent', (SELECT coalesce(json_agg(json_build_array(action, queue, spent)), '[]') FROM (
      SELECT audit.action, audit.queue, count(*) AS spent FROM json_each_text(windows) AS w (action, micros)
      JOIN audit ON audit.action = w.action AND audit.at > clock() - span(w.micros::bigint)
        AND audit.outcome = 'applied' AND audit.reason <> 'operator'
      GROUP BY audit.action, audit.queue) AS counted))
$$;

-- A pause takes the place of the one that is on. Without a length it lasts until somebody resumes.
CREATE OR REPLACE FUNCTION gradewatch.pause(length bigint, by_whom text, why text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET timezone = 'UTC' AS $$
DECLARE
  made pauses;
BEGIN
  UPDATE pauses SET resumed_at = clock(), resumed_by = by_whom WHERE is_on(pauses);
  INSERT INTO pauses (started_at, until, by, reason) VALUES (clock(), clock() + span(length), by_whom, why)
  RETURNING * INTO made;
  RETURN row_to_json(made);
END $$;

-- The time is kept even when nothing was paused: a resume also forgives the restarts that did not help.
CREATE OR REPLACE FUNCTION gradewatch.resume(by_whom text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET timezone = 'UTC' AS $$
BEGIN
  INSERT INTO meta VALUES ('resumed_at', clock()::text) ON CONFLICT (key) DO UPDATE SET value = excluded.value;
  UPDATE pauses SET resumed_at = clock(), resumed_by = by_whom WHERE is_on(pauses);
  RETURN FOUND;
END $$;

-- Two watches that saw the same outage credit it once.
CREATE OR REPLACE FUNCTION gradewatch.add_credit(of_kind text, from_time timestamptz, to_time timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  INSERT INTO credits (kind, start_at, end_at) VALUES (of_kind, from_time, to_time) ON CONFLICT DO NOTHING
$$;

-- Take or renew; answers the term, or null while somebody else holds it. After the clock was stepped back, a dead
-- holder's lease must not outlive its own length from now.
CREATE OR REPLACE FUNCTION gradewatch.acquire(lease text, by_holder text, length bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
DECLARE
  got bigint;
BEGIN
  INSERT INTO leases AS l (name, holder, term, ttl, expires_at)
  VALUES (lease, by_holder, 1, span(length), clock() + span(length))
  ON CONFLICT (name) DO UPDATE SET
    term = l.term + (l.holder <> excluded.holder)::int, holder = excluded.holder, ttl = excluded.ttl,
    expires_at = excluded.expires_at
  WHERE l.holder = excluded.holder OR l.expires_at <= clock()
  RETURNING term INTO got;
  IF got IS NULL THEN
    UPDATE leases SET expires_at = clock() + ttl WHERE name = lease AND expires_at > clock() + ttl;
  END IF;
  RETURN got;
END $$;

CREATE OR REPLACE FUNCTION gradewatch.release(lease text, by_holder text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  UPDATE leases SET holder = '', expires_at = '-infinity' WHERE name = lease AND holder = by_holder
$$;
