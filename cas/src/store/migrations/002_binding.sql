CREATE TABLE binding (
    device      INTEGER NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    contact     TEXT NOT NULL,
    instance    TEXT,
    q           INTEGER NOT NULL,
    sip_call_id TEXT NOT NULL,
    cseq        INTEGER NOT NULL,
    agent       TEXT NOT NULL,
    transport   TEXT NOT NULL,
    local       TEXT NOT NULL,
    source      TEXT NOT NULL,
    expires     INTEGER NOT NULL,
    PRIMARY KEY (device, contact)
) STRICT, WITHOUT ROWID;
