-- Uploaded papers, each once, under the SHA-256 of its bytes; in pieces, so that nobody holds a whole one in memory.

CREATE SEQUENCE IF NOT EXISTS gradewatch.uploads AS bigint;

CREATE TABLE IF NOT EXISTS gradewatch.files (
  sha256 text PRIMARY KEY,
  size   bigint NOT NULL,
  upload bigint NOT NULL UNIQUE,
  put_at timestamptz NOT NULL
);

CREATE TABLE IF NOT EXISTS gradewatch.pieces (
  upload bigint NOT NULL,
  place  int    NOT NULL,
  at     timestamptz NOT NULL,
  bytes  bytea  NOT NULL,
  PRIMARY KEY (upload, place)
);
ALTER TABLE gradewatch.pieces ALTER COLUMN bytes SET STORAGE EXTERNAL; -- papers are compressed already

-- True: the file is there; it counts as put just now.
CREATE OR REPLACE FUNCTION gradewatch.touch_file(sha text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
BEGIN
  UPDATE files SET put_at = clock() WHERE sha256 = sha;
  RETURN FOUND;
END $$;

CREATE OR REPLACE FUNCTION gradewatch.begin_upload() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$ SELECT nextval('uploads') $$;

CREATE OR REPLACE FUNCTION gradewatch.put_piece(of_upload bigint, at_place int, content bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  INSERT INTO pieces (upload, place, at, bytes) VALUES (of_upload, at_place, clock(), content)
$$;

-- Give a finished upload its name. Where another was faster, its bytes are the same: these go.
CREATE OR REPLACE FUNCTION gradewatch.end_upload(of_upload bigint, sha text, length bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
BEGIN
  INSERT INTO files (sha256, size, upload, put_at) VALUES (sha, length, of_upload, clock())
  ON CONFLICT (sha256) DO UPDATE SET put_at = excluded.put_at;
  DELETE FROM pieces WHERE upload = of_upload
    AND NOT EXISTS (SELECT FROM files WHERE files.upload = of_upload);
END $$;

-- One piece of a file; null past its end. [size, upload] by find_file, or null where there is no such file.
CREATE OR REPLACE FUNCTION gradewatch.find_file(sha text) RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  SELECT json_build_array(size, upload) FROM files WHERE sha256 = sha
$$;

CREATE OR REPLACE FUNCTION gradewatch.get_piece(of_upload bigint, at_place int) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  SELECT bytes FROM pieces WHERE upload = of_upload AND place = at_place
$$;

-- Files that no job refers to, and pieces of uploads that were never finished, where both are older than an hour: until
-- then they may be waiting for their job. Bounded by `most` files and `most` pieces; answers how many of both went.
CREATE OR REPLACE FUNCTION gradewatch.purge_files(most int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
DECLARE
  old_enough timestamptz := clock() - interval '1 hour';
  gone int;
  lost int;
BEGIN
  DELETE FROM files WHERE put_at < old_enough AND sha256 IN (
    SELECT sha256 FROM files WHERE put_at < old_enough
      AND NOT EXISTS (SELECT FROM paper_refs WHERE paper_refs.sha256 = files.sha256)
    LIMIT most);
  GET DIAGNOSTICS gone = ROW_COUNT;
  DELETE FROM pieces WHERE (upload, place) IN (
    SELECT upload, place FROM pieces WHERE at < old_enough
      AND NOT EXISTS (SELECT FROM files WHERE files.upload = pieces.upload)
    LIMIT most);
  GET DIAGNOSTICS lost = ROW_COUNT;
  RETURN gone + lost;
END $$;
