-- Whom a user dialled last, and who called him last: what the codes for it dial. A caller without a number is the empty text.
CREATE TABLE last_calls (
    user    INTEGER PRIMARY KEY REFERENCES user (id) ON DELETE CASCADE,
    dialled TEXT,
    caller  TEXT
) STRICT;

INSERT INTO last_calls
    SELECT id,
        (SELECT addr FROM history WHERE user = id AND kind = 'placed' AND addr GLOB '[0-9]*' ORDER BY started DESC, call DESC LIMIT 1),
        (SELECT addr FROM history WHERE user = id AND kind <> 'placed' ORDER BY started DESC, call DESC LIMIT 1)
    FROM user;
