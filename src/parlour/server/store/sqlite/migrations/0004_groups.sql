-- Groups on MLS, as their delivery service follows them: all of it is public to who is in one.

ALTER TABLE members ADD COLUMN first_seq INTEGER NOT NULL DEFAULT 0;  -- served from this entry on

CREATE TABLE former_members (
    pk        INTEGER PRIMARY KEY,
    stream    INTEGER NOT NULL REFERENCES streams(pk) ON DELETE CASCADE,
    account   INTEGER NOT NULL REFERENCES accounts(pk) ON DELETE CASCADE,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,              -- the entry that removed the account
    left_at   INTEGER NOT NULL,
    UNIQUE (stream, account)
) STRICT;
CREATE INDEX former_members_by_account ON former_members(account);
CREATE INDEX former_members_by_age ON former_members(left_at);

CREATE TABLE mls_groups (
    pk           INTEGER PRIMARY KEY,
    stream       INTEGER NOT NULL UNIQUE REFERENCES streams(pk) ON DELETE CASCADE,
    generation   INTEGER NOT NULL,
    epoch        INTEGER NOT NULL,
    seq          INTEGER NOT NULL,           -- the entry that led to this epoch, 0 for the founding
    group_info   BLOB NOT NULL,
    roster_state BLOB NOT NULL,
    roster_head  BLOB NOT NULL,
    version      INTEGER NOT NULL,           -- how often its accounts changed
    acknowledged INTEGER NOT NULL            -- whether somebody has read on since the last sweep
) STRICT;
CREATE INDEX mls_groups_acknowledged ON mls_groups(acknowledged) WHERE acknowledged = 1;

CREATE TABLE group_nodes (
    pk       INTEGER PRIMARY KEY,
    stream   INTEGER NOT NULL REFERENCES streams(pk) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    data     BLOB NOT NULL,                  -- as in the ratchet_tree extension
    UNIQUE (stream, position)
) STRICT;

CREATE TABLE group_leaves (
    pk     INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL REFERENCES streams(pk) ON DELETE CASCADE,
    leaf   INTEGER NOT NULL,
    device INTEGER NOT NULL REFERENCES devices(pk) ON DELETE CASCADE,
    UNIQUE (stream, leaf),
    UNIQUE (stream, device)
) STRICT;
CREATE INDEX group_leaves_by_device ON group_leaves(device);

CREATE TABLE group_proposals (
    pk      INTEGER PRIMARY KEY,
    stream  INTEGER NOT NULL REFERENCES streams(pk) ON DELETE CASCADE,
    message BLOB NOT NULL
) STRICT;
CREATE INDEX group_proposals_by_stream ON group_proposals(stream);

CREATE TABLE group_epochs (
    pk           INTEGER PRIMARY KEY,
    stream       INTEGER NOT NULL REFERENCES streams(pk) ON DELETE CASCADE,
    generation   INTEGER NOT NULL,
    epoch        INTEGER NOT NULL,
    seq          INTEGER NOT NULL,           -- the entry that led to it
    stored_at    INTEGER NOT NULL,
    tree         BLOB,                       -- with the roster, while somebody has yet to join
    roster_state BLOB,
    roster_head  BLOB,
    UNIQUE (stream, generation, epoch)
) STRICT;
CREATE INDEX group_epochs_by_age ON group_epochs(stored_at);
CREATE INDEX group_epochs_joinable ON group_epochs(stream) WHERE tree IS NOT NULL;
