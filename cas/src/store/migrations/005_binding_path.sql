-- A flow of RFC 5626 is named by its reg-id (0: none) beside the contact, and a binding knows its way of RFC 3327.
CREATE TABLE binding_with_path (
    device      INTEGER NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    contact     TEXT NOT NULL,
    reg_id      INTEGER NOT NULL,
    instance    TEXT,
    path        TEXT NOT NULL,
    q           INTEGER NOT NULL,
    sip_call_id TEXT NOT NULL,
    cseq        INTEGER NOT NULL,
    agent       TEXT NOT NULL,
    transport   TEXT NOT NULL,
    local       TEXT NOT NULL,
    source      TEXT NOT NULL,
    expires     INTEGER NOT NULL,
    PRIMARY KEY (device, contact, reg_id)
) STRICT, WITHOUT ROWID;

INSERT INTO binding_with_path
    SELECT device, contact, 0, instance, '', q, sip_call_id, cseq, agent, transport, local, source, expires FROM binding;

DROP TABLE binding;

ALTER TABLE binding_with_path RENAME TO binding;
