-- What workers remember of providers: pages already read, what was spent, what troubles were met.

-- Text of pages that a provider has read. The key is a digest of the page, the provider and its options.
CREATE TABLE IF NOT EXISTS gradewatch.pages (
  key        text PRIMARY KEY,
  text       text NOT NULL,
  confidence double precision NOT NULL,
  at         timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS pages_age ON gradewatch.pages (at);

-- What was asked of providers: `scope` is a job ("job:ID") or a day in UTC ("day:2026-01-31").
CREATE TABLE IF NOT EXISTS gradewatch.spending (
  scope  text PRIMARY KEY,
  calls  bigint NOT NULL,
  tokens bigint NOT NULL,
  at     timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX IF NOT EXISTS spending_age ON gradewatch.spending (at);

-- What workers last met at a provider. `until` bounds how long it is believed without being told again.
CREATE TABLE IF NOT EXISTS gradewatch.provider_troubles (
  provider text PRIMARY KEY,
  variable text NOT NULL,
  code     text NOT NULL,
  message  text NOT NULL,
  fix      text NOT NULL,
  until    timestamptz NOT NULL
);

-- {key: [text, confidence]} of those that are known.
CREATE OR REPLACE FUNCTION gradewatch.get_pages(keys text[]) RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  SELECT coalesce(json_object_agg(key, json_build_array(text, confidence)), '{}') FROM pages WHERE key = ANY (keys)
$$;

CREATE OR REPLACE FUNCTION gradewatch.keep_page(page_key text, content text, sureness float8) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  INSERT INTO pages (key, text, confidence, at) VALUES (page_key, content, sureness, clock())
  ON CONFLICT (key) DO UPDATE SET text = excluded.text, confidence = excluded.confidence, at = excluded.at
$$;

CREATE OR REPLACE FUNCTION gradewatch.today() RETURNS text LANGUAGE sql STABLE
AS $$ SELECT 'day:' || to_char(gradewatch.clock() AT TIME ZONE 'UTC', 'YYYY-MM-DD') $$;

CREATE OR REPLACE FUNCTION gradewatch.spend(job text, of_calls bigint, of_tokens bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  INSERT INTO spending AS s (scope, calls, tokens, at)
  VALUES (today(), of_calls, of_tokens, clock()), ('job:' || job, of_calls, of_tokens, clock())
  ON CONFLICT (scope) DO UPDATE SET
    calls = s.calls + excluded.calls, tokens = greatest(0, s.tokens + excluded.tokens), at = excluded.at
$$;

-- Count one call and its expected tokens, unless that would pass an allowance: then nothing is counted, and the answer
-- says which, 'job' or 'day'. One at a time, or two calls could both find the last one free.
CREATE OR REPLACE FUNCTION gradewatch.reserve(
  job text, of_tokens bigint, job_calls bigint, job_tokens bigint, day_calls bigint, day_tokens bigint) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
DECLARE
  passed text;
BEGIN
  PERFORM pg_advisory_xact_lock(7233158, 4);
  SELECT allowed.kind INTO passed
  FROM (VALUES ('job', 'job:' || job, job_calls, job_tokens), ('day', today(), day_calls, day_tokens))
    AS allowed (kind, scope, calls, tokens)
  LEFT JOIN spending AS s ON s.scope = allowed.scope
  WHERE coalesce(s.calls, 0) + 1 > allowed.calls OR coalesce(s.tokens, 0) + of_tokens > allowed.tokens
  ORDER BY allowed.kind DESC LIMIT 1;
  IF passed IS NULL THEN
    PERFORM spend(job, 1, of_tokens);
  END IF;
  RETURN coalesce(passed, '');
END $$;

CREATE OR REPLACE FUNCTION gradewatch.tell_trouble(
  of_provider text, of_variable text, of_code text, said text, to_do text, lasts bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  INSERT INTO provider_troubles (provider, variable, code, message, fix, until)
  VALUES (of_provider, of_variable, of_code, said, to_do, clock() + span(lasts))
  ON CONFLICT (provider) DO UPDATE SET variable = excluded.variable, code = excluded.code,
    message = excluded.message, fix = excluded.fix, until = excluded.until
$$;

CREATE OR REPLACE FUNCTION gradewatch.clear_trouble(of_provider text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  DELETE FROM provider_troubles WHERE provider = of_provider
$$;

CREATE OR REPLACE FUNCTION gradewatch.list_troubles() RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  SELECT coalesce(json_agg(t ORDER BY provider), '[]') FROM provider_troubles AS t WHERE until > clock()
$$;
