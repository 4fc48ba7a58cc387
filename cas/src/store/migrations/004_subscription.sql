CREATE TABLE subscription (
    id     INTEGER PRIMARY KEY,
    user   INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    app_id TEXT NOT NULL,
    device INTEGER REFERENCES device (id) ON DELETE CASCADE,
    topic  TEXT NOT NULL,
    kind   TEXT NOT NULL,
    args   TEXT NOT NULL
) STRICT;

CREATE INDEX subscription_user ON subscription (user);
CREATE INDEX subscription_device ON subscription (device);
