-- Supabase keeps the papers' bytes in its Storage. Here is which object there holds which paper: an object is named by
-- the paper's SHA-256 and the number of its upload, so that removing an old upload never takes a newer one with it.

CREATE TABLE IF NOT EXISTS gradewatch.objects (
  upload bigint  PRIMARY KEY,
  sha256 text    NOT NULL,
  size   bigint  NOT NULL,
  kept   boolean NOT NULL DEFAULT false, -- false: its upload is under way, or it has been let go
  at     timestamptz NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS objects_kept ON gradewatch.objects (sha256) WHERE kept;
CREATE INDEX IF NOT EXISTS objects_age ON gradewatch.objects (at);

-- [upload, size] of a paper; null where there is no such paper.
CREATE OR REPLACE FUNCTION gradewatch.find_object(sha text) RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  SELECT json_build_array(upload, size) FROM objects WHERE sha256 = sha AND kept
$$;

-- The same, and the paper counts as put just now.
CREATE OR REPLACE FUNCTION gradewatch.touch_object(sha text) RETURNS json
LANGUAGE sql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  UPDATE objects SET at = clock() WHERE sha256 = sha AND kept RETURNING json_build_array(upload, size)
$$;

-- The number of a new upload.
CREATE OR REPLACE FUNCTION gradewatch.begin_object(sha text, length bigint) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  INSERT INTO objects (upload, sha256, size, at) VALUES (nextval('uploads'), sha, length, clock()) RETURNING upload
$$;

-- False: the upload took so long that it was let go. Where another was faster its bytes are the same, and ours go later.
CREATE OR REPLACE FUNCTION gradewatch.end_object(of_upload bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
DECLARE
  sha text;
BEGIN
  SELECT sha256 INTO sha FROM objects WHERE upload = of_upload FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE objects SET at = clock() WHERE sha256 = sha AND kept;
  IF NOT FOUND THEN
    BEGIN
      UPDATE objects SET kept = true, at = clock() WHERE upload = of_upload;
    EXCEPTION WHEN unique_violation THEN
      UPDATE objects SET at = clock() WHERE sha256 = sha AND kept;
    END;
  END IF;
  RETURN true;
END $$;

-- This object is not in Storage, whatever we thought: whoever puts its paper again uploads it again.
CREATE OR REPLACE FUNCTION gradewatch.lose_object(of_upload bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  UPDATE objects SET kept = false WHERE upload = of_upload
$$;

-- Let go of papers that no job refers to; then [[upload, sha256]] of all that was let go, or whose upload never came to
-- its end. All of them are older than an hour: until then they may be waiting for their job.
CREATE OR REPLACE FUNCTION gradewatch.stale_objects(most int) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
DECLARE
  old_enough timestamptz := clock() - interval '1 hour';
BEGIN
  UPDATE objects SET kept = false WHERE kept AND at < old_enough AND upload IN (
    SELECT upload FROM objects WHERE kept AND at < old_enough
      AND NOT EXISTS (SELECT FROM paper_refs WHERE paper_refs.sha256 = objects.sha256)
    ORDER BY at LIMIT most);
  RETURN (SELECT coalesce(json_agg(json_build_array(upload, sha256)), '[]') FROM (
    SELECT upload, sha256 FROM objects WHERE NOT kept AND at < old_enough ORDER BY at LIMIT most) AS stale);
END $$;

-- They are gone from Storage. Answers how many.
CREATE OR REPLACE FUNCTION gradewatch.forget_objects(uploads bigint[]) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
DECLARE
  gone int;
BEGIN
  DELETE FROM objects WHERE upload = ANY (uploads) AND NOT kept;
  GET DIAGNOSTICS gone = ROW_COUNT;
  RETURN gone;
END $$;

-- What "check" answers, and {api: which functions PostgREST shows, role: whom it acts for, hidden: [table whose rows
-- row-level security keeps from these functions]}.
CREATE OR REPLACE FUNCTION gradewatch.check_api(queues text[]) RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET timezone = 'UTC' AS $$
  SELECT ("check"(queues)::jsonb || jsonb_build_object(
    'api', (SELECT value FROM meta WHERE key = 'supabase_api'),
    'role', current_setting('role'),
    'hidden', (SELECT coalesce(jsonb_agg(relname ORDER BY relname), '[]') FROM pg_class
               WHERE relnamespace = 'gradewatch'::regnamespace AND relkind = 'r' AND row_security_active(oid))))::json
$$;
