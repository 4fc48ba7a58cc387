CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: an id is never given twice, not even when its record has gone.
CREATE TABLE user (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    login         TEXT NOT NULL UNIQUE,
    first         TEXT NOT NULL,
    last          TEXT NOT NULL,
    email         TEXT,
    role          TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    pin_hash      TEXT
) STRICT;

-- Known either by digest (sip_user, secret, ha1_*, policy) or by its address.
CREATE TABLE device (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    user       INTEGER REFERENCES user (id) ON DELETE SET NULL,
    sip_user   TEXT UNIQUE,
    secret     BLOB,
    ha1_md5    TEXT,
    ha1_sha256 TEXT,
    policy     TEXT,
    address    TEXT UNIQUE,
    CHECK ((sip_user IS NULL) <> (address IS NULL))
) STRICT;

CREATE INDEX device_user ON device (user);

CREATE TABLE number (
    number  TEXT PRIMARY KEY,
    user    INTEGER REFERENCES user (id) ON DELETE CASCADE,
    feature TEXT,
    CHECK ((user IS NULL) <> (feature IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX number_user ON number (user);

INSERT INTO number (number, feature) VALUES ('*43', 'echo');
