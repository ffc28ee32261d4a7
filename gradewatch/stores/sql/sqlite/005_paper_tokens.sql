-- Under which claim a paper was written last: the same again under the same claim is the write whose answer got lost.
ALTER TABLE papers ADD COLUMN token INTEGER;
