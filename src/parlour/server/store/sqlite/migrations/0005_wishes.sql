-- Devices that lost their way in a group and asked to be added again: no wish is fulfilled twice.

CREATE TABLE group_wishes (
    pk     INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL REFERENCES streams(pk) ON DELETE CASCADE,
    device INTEGER NOT NULL REFERENCES devices(pk) ON DELETE CASCADE,
    at     INTEGER NOT NULL,                 -- when it asked, as it says
    UNIQUE (stream, device)
) STRICT;
CREATE INDEX group_wishes_by_device ON group_wishes(device);
CREATE INDEX group_wishes_by_age ON group_wishes(at);
