-- A device may have gone while its records stay: no reference.
CREATE TABLE history (
    call          INTEGER PRIMARY KEY,
    user          INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    device        INTEGER,
    kind          TEXT NOT NULL,
    addr          TEXT NOT NULL,
    name          TEXT NOT NULL,
    started       INTEGER NOT NULL,
    duration_msec INTEGER NOT NULL,
    cause         TEXT NOT NULL,
    media         TEXT NOT NULL,
    note          TEXT NOT NULL
) STRICT;

-- Newest first by user.
CREATE INDEX history_user_started ON history (user, started DESC, call DESC);
