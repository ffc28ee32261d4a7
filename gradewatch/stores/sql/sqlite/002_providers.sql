-- Time that this claim of a running job waited for a provider: its start_to_close does not count it.
ALTER TABLE jobs ADD COLUMN waited INTEGER NOT NULL DEFAULT 0;

CREATE TRIGGER jobs_waits_anew AFTER UPDATE OF token ON jobs WHEN NEW.token <> OLD.token AND NEW.waited <> 0 BEGIN
  UPDATE jobs SET waited = 0 WHERE seq = NEW.seq;
END;

-- Text of pages that a provider has read. The key is a digest of the page, the provider and its options.
CREATE TABLE pages (
  key        TEXT    PRIMARY KEY,
  text       TEXT    NOT NULL,
  confidence REAL    NOT NULL,
  at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pages_age ON pages (at);

-- What was asked of providers: `scope` is a job ("job:ID") or a day in UTC ("day:2026-01-31").
CREATE TABLE spending (
  scope  TEXT    PRIMARY KEY,
  calls  INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX spending_age ON spending (at);

-- What workers last met at a provider. `until` bounds how long it is believed without being told again.
CREATE TABLE provider_troubles (
  provider TEXT    PRIMARY KEY,
  variable TEXT    NOT NULL,
  code     TEXT    NOT NULL,
  message  TEXT    NOT NULL,
  fix      TEXT    NOT NULL,
  until    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
