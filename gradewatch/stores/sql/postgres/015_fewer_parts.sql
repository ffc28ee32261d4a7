-- What earlier schemas had and nothing uses any more.
DROP FUNCTION IF EXISTS gradewatch.ref(gradewatch.jobs);
DROP INDEX IF EXISTS gradewatch.jobs_finished;
