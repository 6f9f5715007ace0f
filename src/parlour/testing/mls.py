"""An authentication service for tests, which believes everybody, and policies that use it."""

from __future__ import annotations

from typing import Final

from parlour.mls.public.credentials import Credential, OtherCredential, X509Credential
from parlour.mls.public.policy import Policy


class TrustEveryone:
    """Takes every credential whose type is known, and each identity for what it says."""

    def accepts(self, credential: Credential, signature_key: bytes) -> bool:
        """Basic and X.509 credentials are taken."""
        return not isinstance(credential, OtherCredential)

    def succeeds(self, old: Credential, new: Credential) -> bool:
        """The identity has to stay."""
        return self.identity(old) == self.identity(new)

    def identity(self, credential: Credential) -> bytes:
        """The type with the identity, or with the end-entity certificate of a chain."""
        if isinstance(credential, X509Credential):
            return X509Credential(credential.certificates[:1]).encode()
        return credential.encode()


TRUST_EVERYONE: Final = TrustEveryone()
OPEN_POLICY: Final = Policy(
    TRUST_EVERYONE, external_commits=True, resync=True, new_member_proposals=True
)
"""Everybody may come in by every door."""
