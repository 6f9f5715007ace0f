-- Who was in a group several times may read what was said in each of them.

CREATE TABLE former_times (
    pk        INTEGER PRIMARY KEY,
    stream    INTEGER NOT NULL REFERENCES streams(pk) ON DELETE CASCADE,
    account   INTEGER NOT NULL REFERENCES accounts(pk) ON DELETE CASCADE,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,              -- the entry that removed the account
    left_at   INTEGER NOT NULL,
    UNIQUE (stream, account, first_seq)
) STRICT;
INSERT INTO former_times SELECT pk, stream, account, first_seq, last_seq, left_at
    FROM former_members;
DROP TABLE former_members;
ALTER TABLE former_times RENAME TO former_members;
CREATE INDEX former_members_by_account ON former_members(account);
CREATE INDEX former_members_by_age ON former_members(left_at);
