-- Repairs of rows that another application owns: the fields touched, before and after, as JSON. The entry itself is in
-- audit; queue, subject and time stand here again, because they are asked for with every cycle.

CREATE TABLE IF NOT EXISTS gradewatch.row_notes (
  audit_id bigint PRIMARY KEY REFERENCES gradewatch.audit (id) ON DELETE CASCADE,
  queue    text NOT NULL,
  subject  text NOT NULL,
  at       timestamptz NOT NULL,
  before   json NOT NULL,
  after    json NOT NULL
);
CREATE INDEX IF NOT EXISTS row_notes_subject ON gradewatch.row_notes (queue, subject);
CREATE INDEX IF NOT EXISTS row_notes_at ON gradewatch.row_notes (queue, at);

-- notes: [{action, queue, subject, outcome, reason, message, before, after}]; answers their ids in order.
CREATE OR REPLACE FUNCTION gradewatch.note_repairs(notes json, in_sweep text, by_whom text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
DECLARE
  moment timestamptz := clock();
  note record;
  made bigint;
  ids bigint[] := '{}';
BEGIN
  FOR note IN
    SELECT * FROM json_to_recordset(notes) AS n (action text, queue text, subject text, outcome text, reason text,
                                                 message text, before json, after json)
  LOOP
    INSERT INTO audit (sweep, at, by, action, queue, subject, outcome, reason, message)
    VALUES (in_sweep, moment, by_whom, note.action, note.queue, note.subject, note.outcome, note.reason, note.message)
    RETURNING id INTO made;
    INSERT INTO row_notes VALUES (made, note.queue, note.subject, moment, note.before, note.after);
    ids := ids || made;
  END LOOP;
  RETURN array_to_json(ids);
END $$;

-- These came to nothing: somebody was faster.
CREATE OR REPLACE FUNCTION gradewatch.unnote(ids json) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  DELETE FROM row_notes WHERE audit_id IN (SELECT value::bigint FROM json_array_elements_text(ids));
  UPDATE audit SET outcome = 'noop' WHERE id IN (SELECT value::bigint FROM json_array_elements_text(ids))
$$;

-- Applied repairs of a queue's rows, the newest first; null for whatever is not asked.
CREATE OR REPLACE FUNCTION gradewatch.list_noted(
  of_queue text, subjects text[], of_sweep text, span_micros bigint, most int) RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off SET timezone = 'UTC' AS $$
  SELECT coalesce(json_agg(r), '[]') FROM (
    SELECT a.id, a.sweep, a.at, a.action, a.queue, a.subject, a.outcome, a.reason, a.message, a.undone_at,
           n.before, n.after
    FROM row_notes AS n JOIN audit AS a ON a.id = n.audit_id
    WHERE n.queue = of_queue AND (subjects IS NULL OR n.subject = ANY (subjects))
      AND (of_sweep IS NULL OR a.sweep = of_sweep) AND (span_micros IS NULL OR n.at > clock() - span(span_micros))
    ORDER BY n.audit_id DESC LIMIT most) AS r
$$;

CREATE OR REPLACE FUNCTION gradewatch.note_undone(ids json, by_whom text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = gradewatch, pg_temp SET jit = off AS $$
  WITH undone AS (
    UPDATE audit SET undone_at = clock()
    WHERE undone_at IS NULL AND id IN (SELECT value::bigint FROM json_array_elements_text(ids)) RETURNING *
  )
  INSERT INTO audit (sweep, at, by, action, queue, subject, outcome, reason, message)
  SELECT sweep, clock(), by_whom, 'undo', queue, subject, 'applied', reason, 'undid ' || action FROM undone
$$;

REVOKE ALL ON ALL TABLES IN SCHEMA gradewatch FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA gradewatch FROM PUBLIC;
