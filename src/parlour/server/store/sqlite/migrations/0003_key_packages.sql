-- By key packages devices are added to groups while they are away.

CREATE TABLE key_packages (
    pk          INTEGER PRIMARY KEY,
    device      INTEGER NOT NULL REFERENCES devices(pk) ON DELETE CASCADE,
    suite       INTEGER NOT NULL,
    last_resort INTEGER NOT NULL,
    used        INTEGER NOT NULL,            -- whether a last resort was given out
    expires_at  INTEGER NOT NULL,            -- seconds
    hash        BLOB NOT NULL,               -- SHA-256 of the data
    data        BLOB NOT NULL,
    UNIQUE (device, hash)
) STRICT;
CREATE INDEX key_packages_of_suite ON key_packages(device, suite, last_resort);
CREATE INDEX key_packages_expiring ON key_packages(expires_at);
