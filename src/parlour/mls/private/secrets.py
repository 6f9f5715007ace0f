"""A class for each secret of RFC 9420, none of which shows itself.

Spec: RFC 9420 §7.4, §8, §9.
"""

from __future__ import annotations

from parlour.primitives.secret import Secret


class InitSecret(Secret):
    """§8: carries one epoch's entropy into the next."""

    __slots__ = ()


class CommitSecret(Secret):
    """§8: the entropy of an update path; zeros without one."""

    __slots__ = ()


class PskSecret(Secret):
    """§8.4: the entropy of all pre-shared keys of a commit; zeros without any."""

    __slots__ = ()


class JoinerSecret(Secret):
    """§8: what new members get, before pre-shared keys are mixed in."""

    __slots__ = ()


class WelcomeSecret(Secret):
    """§8: seals the GroupInfo of a Welcome."""

    __slots__ = ()


class EncryptionSecret(Secret):
    """§8: the root of the secret tree."""

    __slots__ = ()


class SenderDataSecret(Secret):
    """§8: hides who sent a private message."""

    __slots__ = ()


class ExporterSecret(Secret):
    """§8.5: the root of what applications derive."""

    __slots__ = ()


class ExternalSecret(Secret):
    """§8: the private half of `external_pub`."""

    __slots__ = ()


class ConfirmationKey(Secret):
    """§8: confirms that members agree on the epoch."""

    __slots__ = ()


class MembershipKey(Secret):
    """§8: proves that a public message comes from a member."""

    __slots__ = ()


class ResumptionPsk(Secret):
    """§8.6: proves membership of this epoch in another."""

    __slots__ = ()


class EpochAuthenticator(Secret):
    """§8.7: equal for all who see the group alike; to be compared, not to be sent in clear."""

    __slots__ = ()


class PathSecret(Secret):
    """§7.4: from which the keys of a node and of those above it come."""

    __slots__ = ()


class ExternalPsk(Secret):
    """§8.4: a key that the application brings."""

    __slots__ = ()
