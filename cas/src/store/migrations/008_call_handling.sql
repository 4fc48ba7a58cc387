-- What becomes of a user's calls; rules: an object of them by the names of the modes he has set.
CREATE TABLE handling (
    user    INTEGER PRIMARY KEY REFERENCES user (id) ON DELETE CASCADE,
    mode    TEXT NOT NULL,
    follows INTEGER NOT NULL,
    rules   TEXT NOT NULL
) STRICT;

-- A user's own schedules, an object; those of the site are the setting 'schedules'.
CREATE TABLE schedule (
    user    INTEGER PRIMARY KEY REFERENCES user (id) ON DELETE CASCADE,
    entries TEXT NOT NULL
) STRICT;
