-- Repairs of rows that another application owns: the fields touched, before and after, as JSON. The entry itself is in
-- audit; queue, subject and time stand here again, because they are asked for with every cycle.
CREATE TABLE row_notes (
  audit_id INTEGER PRIMARY KEY REFERENCES audit (id) ON DELETE CASCADE,
  queue    TEXT    NOT NULL,
  subject  TEXT    NOT NULL,
  at       INTEGER NOT NULL,
  before   TEXT    NOT NULL,
  after    TEXT    NOT NULL
) STRICT;
CREATE INDEX row_notes_subject ON row_notes (queue, subject);
CREATE INDEX row_notes_at ON row_notes (queue, at);
