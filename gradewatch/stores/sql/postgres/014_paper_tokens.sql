-- Under which claim a paper was written last: the same again under the same claim is the write whose answer got lost.
ALTER TABLE gradewatch.papers ADD COLUMN IF NOT EXISTS token bigint;
