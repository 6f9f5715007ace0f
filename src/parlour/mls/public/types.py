"""The code points of RFC 9420, and a type for each index.

Spec: RFC 9420 §6, §7.2, §17.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NewType

LeafIndex = NewType("LeafIndex", int)
"""Which leaf, counted from the left: the position of a member."""
NodeIndex = NewType("NodeIndex", int)
"""Which node of the array (appendix C): leaf `L` is node `2 * L`."""
Generation = NewType("Generation", int)
"""How far a sender's ratchet has turned."""

MLS10: Final = 1
"""`ProtocolVersion.mls10`."""


class WireFormat(IntEnum):
    """§17.2."""

    PUBLIC_MESSAGE = 1
    PRIVATE_MESSAGE = 2
    WELCOME = 3
    GROUP_INFO = 4
    KEY_PACKAGE = 5


class ContentType(IntEnum):
    """§6."""

    APPLICATION = 1
    PROPOSAL = 2
    COMMIT = 3


class SenderType(IntEnum):
    """§6."""

    MEMBER = 1
    EXTERNAL = 2
    NEW_MEMBER_PROPOSAL = 3
    NEW_MEMBER_COMMIT = 4


class LeafNodeSource(IntEnum):
    """§7.2."""

    KEY_PACKAGE = 1
    UPDATE = 2
    COMMIT = 3


class NodeType(IntEnum):
    """§7.8."""

    LEAF = 1
    PARENT = 2


class ProposalType(IntEnum):
    """§17.4: the types that this document defines, which every client knows."""

    ADD = 1
    UPDATE = 2
    REMOVE = 3
    PSK = 4
    REINIT = 5
    EXTERNAL_INIT = 6
    GROUP_CONTEXT_EXTENSIONS = 7


class ExtensionType(IntEnum):
    """§17.3, and one of draft-ietf-mls-extensions."""

    APPLICATION_ID = 1
    RATCHET_TREE = 2
    REQUIRED_CAPABILITIES = 3
    EXTERNAL_PUB = 4
    EXTERNAL_SENDERS = 5
    LAST_RESORT_KEY_PACKAGE = 10


class CredentialType(IntEnum):
    """§17.5."""

    BASIC = 1
    X509 = 2


class PskType(IntEnum):
    """§8.4."""

    EXTERNAL = 1
    RESUMPTION = 2


class ResumptionPskUsage(IntEnum):
    """§8.4."""

    APPLICATION = 1
    REINIT = 2
    BRANCH = 3


# §7.2: "The following proposal and extension types are considered 'default'": every client has
# them, and no client lists them.
DEFAULT_PROPOSALS: Final = frozenset(range(1, 8))
DEFAULT_EXTENSIONS: Final = frozenset(range(1, 6))

# §13.5: values that nobody understands, sent so that nobody chokes on the unknown.
GREASE: Final = tuple(0x0A0A + 0x1010 * i for i in range(15))
