-- Times are milliseconds since the epoch, except where a column's comment says otherwise.
-- Every row is named by an integer primary key; what others see are the random ids beside it.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
);

CREATE TABLE accounts (
    pk               INTEGER PRIMARY KEY,
    account_id       BLOB NOT NULL UNIQUE,
    name             TEXT NOT NULL UNIQUE,
    record           BLOB NOT NULL,          -- OPAQUE, with its version byte
    record_signature BLOB NOT NULL,          -- the account key's over it
    vault            BLOB NOT NULL           -- ciphertext
) STRICT;

CREATE TABLE device_lists (
    pk      INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts(pk) ON DELETE CASCADE,
    number  INTEGER NOT NULL,
    entry   BLOB NOT NULL,
    UNIQUE (account, number)
) STRICT;

CREATE TABLE devices (
    pk            INTEGER PRIMARY KEY,
    device_id     BLOB NOT NULL UNIQUE,
    account       INTEGER NOT NULL REFERENCES accounts(pk) ON DELETE CASCADE,
    signature_key BLOB NOT NULL,
    active        INTEGER NOT NULL,
    ticket        BLOB
) STRICT;
CREATE INDEX devices_by_account ON devices(account);

CREATE TABLE tokens (
    pk         INTEGER PRIMARY KEY,
    hash       BLOB NOT NULL UNIQUE,         -- SHA-256 of the token
    device     INTEGER NOT NULL REFERENCES devices(pk) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    last_used  INTEGER NOT NULL,             -- rounded down to a day
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX tokens_by_device ON tokens(device);

CREATE TABLE invites (
    pk         INTEGER PRIMARY KEY,
    hash       BLOB NOT NULL UNIQUE,         -- SHA-256 of the secret
    uses_left  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    issuer     INTEGER REFERENCES accounts(pk) ON DELETE CASCADE  -- NULL: the operator
) STRICT;

CREATE TABLE prekeys (
    pk         INTEGER PRIMARY KEY,
    device     INTEGER NOT NULL REFERENCES devices(pk) ON DELETE CASCADE,
    kind       TEXT NOT NULL,
    key_id     INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,             -- seconds
    data       BLOB NOT NULL,
    UNIQUE (device, kind, key_id)
) STRICT;

CREATE TABLE streams (
    pk             INTEGER PRIMARY KEY,
    stream_id      BLOB NOT NULL UNIQUE,
    kind           TEXT NOT NULL,
    genesis        BLOB NOT NULL,
    retention      TEXT NOT NULL,            -- queue, forever or days
    retention_days INTEGER NOT NULL,         -- longest age for queue and days, 0 for forever
    epoch          INTEGER NOT NULL,
    last_seq       INTEGER NOT NULL,
    device         INTEGER UNIQUE REFERENCES devices(pk) ON DELETE CASCADE  -- of an inbox
) STRICT;

CREATE TABLE members (
    pk      INTEGER PRIMARY KEY,
    stream  INTEGER NOT NULL REFERENCES streams(pk) ON DELETE CASCADE,
    account INTEGER NOT NULL REFERENCES accounts(pk) ON DELETE CASCADE,
    UNIQUE (stream, account)
) STRICT;
CREATE INDEX members_by_account ON members(account);

CREATE TABLE direct_pairs (
    pk     INTEGER PRIMARY KEY,
    low    INTEGER NOT NULL REFERENCES accounts(pk) ON DELETE CASCADE,
    high   INTEGER NOT NULL REFERENCES accounts(pk) ON DELETE CASCADE,
    stream INTEGER NOT NULL REFERENCES streams(pk) ON DELETE CASCADE,
    UNIQUE (low, high)
) STRICT;

CREATE TABLE entries (
    pk         INTEGER PRIMARY KEY,
    stream     INTEGER NOT NULL REFERENCES streams(pk) ON DELETE CASCADE,
    seq        INTEGER NOT NULL,
    sender     INTEGER NOT NULL REFERENCES devices(pk) ON DELETE CASCADE,
    client_id  BLOB NOT NULL,
    format     INTEGER NOT NULL,
    suite      INTEGER NOT NULL,
    key_id     BLOB NOT NULL,
    body       BLOB,                         -- NULL once trimmed
    stored_at  INTEGER NOT NULL,
    expires_at INTEGER,
    trimmed_at INTEGER,
    UNIQUE (stream, seq),
    UNIQUE (sender, client_id)
) STRICT;
CREATE INDEX entries_expiring ON entries(expires_at) WHERE expires_at IS NOT NULL AND body IS NOT NULL;
CREATE INDEX entries_trimmed ON entries(trimmed_at) WHERE trimmed_at IS NOT NULL;
CREATE INDEX entries_kept ON entries(stream, seq) WHERE body IS NOT NULL;
CREATE INDEX entries_ageing ON entries(stream, stored_at) WHERE body IS NOT NULL;

CREATE TABLE parts (
    pk     INTEGER PRIMARY KEY,
    entry  INTEGER NOT NULL REFERENCES entries(pk) ON DELETE CASCADE,
    device INTEGER NOT NULL REFERENCES devices(pk) ON DELETE CASCADE,
    data   BLOB NOT NULL,
    UNIQUE (entry, device)
) STRICT;
CREATE INDEX parts_by_device ON parts(device);

CREATE TABLE cursors (
    pk     INTEGER PRIMARY KEY,
    device INTEGER NOT NULL REFERENCES devices(pk) ON DELETE CASCADE,
    stream INTEGER NOT NULL REFERENCES streams(pk) ON DELETE CASCADE,
    seq    INTEGER NOT NULL,
    UNIQUE (device, stream)
) STRICT;
