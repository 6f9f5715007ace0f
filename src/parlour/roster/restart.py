"""The beginning of another generation of a conversation: which one it may be, and who signs for it.

Whoever begins a group again signs for it with its device key. No server does it in the name of
somebody else, and no other GroupInfo is taken for the one that was made.
"""

from __future__ import annotations

from typing import Final

from parlour.codec import Writer
from parlour.primitives.hashes import SHA256_SIZE
from parlour.primitives.signature import Ed25519PrivateKey, Ed25519PublicKey
from parlour.roster import device_signature, labels
from parlour.roster.limits import ID_SIZE

# A generation may be so many further than the one before it: a server whose data is from a backup,
# and who was away, have not seen those between. At six in six hours (`server.limits`), that is
# forty days of an admin who does nothing else. It is bounded so that nobody burns the four thousand
# million that there are: that would take centuries.
MAX_LEAP: Final = 1_000
# A generation has four bytes.
MAX_GENERATION: Final = 0xFFFF_FFFF


def may_follow(generation: int, current: int) -> bool:
    """Whether a conversation that is in one generation may begin again with that one."""
    return current < generation <= min(current + MAX_LEAP, MAX_GENERATION)


def _content(stream: bytes, generation: int, group_info_hash: bytes, head: bytes) -> bytes:
    """What is signed.

    ::

        struct {
            opaque stream[16];
            uint32 generation;
            opaque group_info_hash[32];     /* SHA-256 of the GroupInfo of its epoch 0 */
            opaque head[32];                /* the roster's newest entry */
        } RestartTBS;
    """
    writer = Writer().fixed(stream, ID_SIZE).uint32(generation)
    return writer.fixed(group_info_hash, SHA256_SIZE).fixed(head, SHA256_SIZE).data()


def sign_restart(
    stream: bytes,
    generation: int,
    group_info_hash: bytes,
    head: bytes,
    device_key: Ed25519PrivateKey,
) -> bytes:
    """The signature of a device, 64 bytes; `head` is the hash of the roster's newest entry."""
    device = device_signature.device_id_of(device_key.public_key)
    content = _content(stream, generation, group_info_hash, head)
    return device_signature.sign(labels.RESTART, content, device, device_key)


def verify_restart(
    stream: bytes,
    generation: int,
    group_info_hash: bytes,
    head: bytes,
    device: bytes,
    device_key: Ed25519PublicKey | None,
    signature: bytes,
) -> None:
    """Return if that device, whose key this is, has signed for it; else raise `SecurityStop`."""
    content = _content(stream, generation, group_info_hash, head)
    device_signature.verify(labels.RESTART, content, device, device_key, signature)
