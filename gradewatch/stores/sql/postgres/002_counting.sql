-- Depths, totals and histograms, kept by statement-level triggers in the transaction of the change itself, so that
-- nobody ever has to count rows. A change only adds rows to `deltas`, which nobody waits for; they are folded into
-- `tallies` by probes and beats. What is read is always the sum of both, in one snapshot, and therefore exact.

-- name: pending, running (depths); enqueued, retries, succeeded, failed, cancelled, worked (totals);
-- wait, run:STATE (histograms: one row a bucket, `total` in microseconds); paper:STATUS (totals).
CREATE TABLE IF NOT EXISTS gradewatch.tallies (
  queue  text   NOT NULL,
  name   text   NOT NULL,
  bucket bigint NOT NULL,
  amount bigint NOT NULL,
  total  numeric NOT NULL,
  at     timestamptz, -- when it last happened
  folded bigint NOT NULL, -- how many deltas went into it
  PRIMARY KEY (queue, name, bucket)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

CREATE TABLE IF NOT EXISTS gradewatch.deltas (
  id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue  text   NOT NULL,
  name   text   NOT NULL,
  bucket bigint NOT NULL DEFAULT 0,
  amount bigint NOT NULL,
  total  numeric NOT NULL DEFAULT 0,
  at     timestamptz
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_insert_threshold = -1);

-- Into which bucket a wait or a run of so many microseconds falls; a bound belongs to the bucket it closes.
CREATE OR REPLACE FUNCTION gradewatch.bucket(micros bigint) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT width_bucket(micros - 1, ARRAY[500000, 1000000, 5000000, 15000000, 30000000, 60000000, 120000000, 300000000,
                                        600000000, 1800000000, 3600000000]::bigint[])
$$;

-- Idle workers listen. One notifier at a time: PostgreSQL lets commits that notify pass only one by one, and a wake-up
-- that is left out costs a worker the rest of its polling interval, where the queue of commits would cost everybody.
CREATE OR REPLACE FUNCTION gradewatch.wake() RETURNS void LANGUAGE plpgsql
SET search_path = gradewatch, pg_temp AS $$
BEGIN
  IF pg_try_advisory_xact_lock(7233158, 2) THEN
    PERFORM pg_notify('gradewatch', '');
  END IF;
END $$;

CREATE OR REPLACE FUNCTION gradewatch.count_inserted() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
BEGIN
  INSERT INTO deltas (queue, name, amount)
  SELECT queue, 'enqueued', count(*) FROM news GROUP BY queue
  UNION ALL
  SELECT queue, state, count(*) FROM news WHERE finished_at IS NULL GROUP BY queue, state;
  IF EXISTS (SELECT FROM news WHERE state = 'pending') THEN
    PERFORM wake();
  END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION gradewatch.count_deleted() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
BEGIN
  INSERT INTO deltas (queue, name, amount)
  SELECT queue, state, -count(*) FROM olds WHERE finished_at IS NULL GROUP BY queue, state;
  RETURN NULL;
END $$;

-- A retry is a worker's own: it keeps its charged attempt (a release gives it back) and lost no worker (a recovery
-- did).
CREATE OR REPLACE FUNCTION gradewatch.count_updated() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off
SET enable_hashjoin = on AS $$ -- which whoever makes the change may have turned off
DECLARE
  queued boolean;
BEGIN
  WITH moved AS MATERIALIZED (
    SELECT news.queue, olds.state AS was, news.state AS became, news.started_at,
           news.attempt = olds.attempt AND news.lost = olds.lost AS kept,
           greatest(micros(news.started_at - olds.run_at), 0) AS waited,
           greatest(micros(news.finished_at - olds.started_at), 0) AS ran
    FROM olds JOIN news ON news.id = olds.id AND news.state <> olds.state
  ), counted AS (
    INSERT INTO deltas (queue, name, bucket, amount, total, at)
    SELECT queue, was, 0, -count(*), 0, NULL FROM moved WHERE was IN ('pending', 'running') GROUP BY queue, was
    UNION ALL
    SELECT queue, became, 0, count(*), 0, CASE WHEN became = 'running' THEN max(started_at) END
    FROM moved GROUP BY queue, became
    UNION ALL
    SELECT queue, 'retries', 0, count(*), 0, NULL
    FROM moved WHERE was = 'running' AND became = 'pending' AND kept GROUP BY queue
    UNION ALL
    SELECT queue, 'wait', bucket(waited), count(*), sum(waited), NULL
    FROM moved WHERE was = 'pending' AND became = 'running' GROUP BY queue, bucket(waited)
    UNION ALL
    SELECT queue, 'run:' || became, bucket(ran), count(*), sum(ran), NULL
    FROM moved WHERE was = 'running' AND became <> 'pending' GROUP BY queue, became, bucket(ran)
  )
  SELECT bool_or(became = 'pending') INTO queued FROM moved;
  IF queued THEN
    PERFORM wake();
  END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION gradewatch.count_truncated() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
BEGIN
  INSERT INTO deltas (queue, name, amount)
  SELECT queue, name, -sum(amount)
  FROM (SELECT queue, name, amount FROM tallies UNION ALL SELECT queue, name, amount FROM deltas) AS depth
  WHERE name IN ('pending', 'running') GROUP BY queue, name;
  RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER jobs_counted_in AFTER INSERT ON gradewatch.jobs
  REFERENCING NEW TABLE AS news FOR EACH STATEMENT EXECUTE FUNCTION gradewatch.count_inserted();
CREATE OR REPLACE TRIGGER jobs_counted_out AFTER DELETE ON gradewatch.jobs
  REFERENCING OLD TABLE AS olds FOR EACH STATEMENT EXECUTE FUNCTION gradewatch.count_deleted();
CREATE OR REPLACE TRIGGER jobs_counted_over AFTER UPDATE ON gradewatch.jobs
  REFERENCING OLD TABLE AS olds NEW TABLE AS news FOR EACH STATEMENT EXECUTE FUNCTION gradewatch.count_updated();
CREATE OR REPLACE TRIGGER jobs_counted_off AFTER TRUNCATE ON gradewatch.jobs
  FOR EACH STATEMENT EXECUTE FUNCTION gradewatch.count_truncated();

-- Fold up to `most` deltas. Whoever comes while another folds goes on without; on a standby nothing can be folded.
CREATE OR REPLACE FUNCTION gradewatch.fold(most int) RETURNS int LANGUAGE plpgsql
SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET enable_seqscan = off AS $$
DECLARE
  gone int;
BEGIN
  IF current_setting('transaction_read_only')::boolean OR NOT pg_try_advisory_xact_lock(7233158, 3) THEN
    RETURN 0;
  END IF;
  WITH taken AS (
    DELETE FROM deltas WHERE id = ANY (ARRAY(SELECT id FROM deltas ORDER BY id LIMIT most)) RETURNING *
  ), summed AS (
    INSERT INTO tallies AS t (queue, name, bucket, amount, total, at, folded)
    SELECT queue, name, bucket, sum(amount), sum(total),
           (array_agg(at ORDER BY id DESC) FILTER (WHERE at IS NOT NULL))[1], count(*)
    FROM taken GROUP BY queue, name, bucket
    ON CONFLICT (queue, name, bucket) DO UPDATE SET
      amount = t.amount + excluded.amount, total = t.total + excluded.total, at = coalesce(excluded.at, t.at),
      folded = t.folded + excluded.folded
  )
  SELECT count(*) INTO gone FROM taken;
  RETURN gone;
END $$;

-- A number that changes with every counted change, for those who cannot listen.
CREATE OR REPLACE FUNCTION gradewatch.changes() RETURNS bigint LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  SELECT (SELECT coalesce(sum(folded), 0) FROM tallies)::bigint + (SELECT count(*) FROM deltas)
$$;

-- Turn exact depths off, or on again. Off, a change costs nothing more than itself; probes then count rows up to a cap,
-- and totals and histograms stand still. For the tables' owner alone; locks `jobs` for the length of one count.
CREATE OR REPLACE FUNCTION gradewatch.exact_depth(wanted boolean) RETURNS void LANGUAGE plpgsql
SET search_path = gradewatch, pg_temp AS $$
BEGIN
  LOCK TABLE jobs IN SHARE ROW EXCLUSIVE MODE;
  INSERT INTO meta VALUES ('exact_depth', wanted::text) ON CONFLICT (key) DO UPDATE SET value = excluded.value;
  IF NOT wanted THEN
    ALTER TABLE jobs DISABLE TRIGGER USER;
    RETURN;
  END IF;
  ALTER TABLE jobs ENABLE TRIGGER USER;
  INSERT INTO deltas (queue, name, amount)
  SELECT queue, name, sum(amount) FROM (
    SELECT queue, state AS name, count(*) AS amount FROM jobs WHERE finished_at IS NULL GROUP BY queue, state
    UNION ALL
    SELECT queue, name, -amount FROM tallies WHERE name IN ('pending', 'running')
    UNION ALL
    SELECT queue, name, -amount FROM deltas WHERE name IN ('pending', 'running')
  ) AS difference GROUP BY queue, name HAVING sum(amount) <> 0;
END $$;
