"""A Welcome in parts: a delivery service keeps what is for all once, and gives each their own.

A Welcome to a thousand members is half a megabyte, of which each of them needs 250 bytes and what
is common to all.

Spec: RFC 9420 §12.4.3.1.
"""

from __future__ import annotations

from parlour.codec import decode
from parlour.errors import Code, DecodeError
from parlour.mls.public.framing.messages import decode_message
from parlour.mls.public.welcome import EncryptedGroupSecrets, Welcome


def split_welcome(welcome: bytes | Welcome) -> tuple[bytes, dict[bytes, bytes]]:
    """`encrypted_group_info`, and an encoded EncryptedGroupSecrets by key package reference."""
    message = decode_message(welcome) if isinstance(welcome, bytes) else welcome
    if not isinstance(message, Welcome):
        raise DecodeError(Code.DECODE_MALFORMED, "not a Welcome")
    secrets = {entry.new_member: entry.encode() for entry in message.secrets}
    if len(secrets) != len(message.secrets):
        raise DecodeError(Code.DECODE_MALFORMED, "a Welcome that names a key package twice")
    return message.encrypted_group_info, secrets


def join_welcome_parts(suite_id: int, encrypted_group_info: bytes, secrets: bytes) -> Welcome:
    """The Welcome for one new member, of the part for all and its own; nothing is verified yet."""
    entry = decode(secrets, EncryptedGroupSecrets.read)
    return Welcome(suite_id, (entry,), encrypted_group_info)
