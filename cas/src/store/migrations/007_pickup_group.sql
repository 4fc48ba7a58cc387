-- Users of one group answer one another's calls by a code.
ALTER TABLE user ADD COLUMN pickup_group TEXT;
