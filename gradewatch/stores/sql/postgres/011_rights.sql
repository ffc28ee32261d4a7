-- Nobody may do anything here but the owner, and whoever is given the schema: see docs/postgres.md for the two lines
-- that let a role in. PostgreSQL would otherwise let everybody call a new function.

REVOKE ALL ON SCHEMA gradewatch FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA gradewatch FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA gradewatch FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA gradewatch FROM PUBLIC;
