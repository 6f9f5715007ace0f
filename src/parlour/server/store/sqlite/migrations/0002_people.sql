-- What people need to keep an account for years: the second copy of the vault, and profiles.

ALTER TABLE accounts ADD COLUMN recovery_vault BLOB;                     -- ciphertext
ALTER TABLE accounts ADD COLUMN vault_number INTEGER NOT NULL DEFAULT 0; -- replacements so far

CREATE TABLE profiles (
    pk      INTEGER PRIMARY KEY,
    account INTEGER NOT NULL UNIQUE REFERENCES accounts(pk) ON DELETE CASCADE,
    data    BLOB NOT NULL                    -- ciphertext
) STRICT;
