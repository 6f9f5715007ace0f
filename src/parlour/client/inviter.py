"""Who has invited us, as a new home remembers it until we have met (`invites`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from parlour.conversation.changes import Change, DeleteRecord, Namespace, PutRecord
from parlour.errors import Code, StorageError
from parlour.identity.invite import Invite

_INVITER: Final = b"inviter"


class Inviter(Struct, frozen=True):
    """The record: name and account key, as the invite says."""

    name: str
    account_key: bytes

    @classmethod
    def of(cls, invite: Invite) -> list[Change]:
        """The record to write for an account that is made with `invite`; none by an operator."""
        if invite.account_key is None or not invite.account_name:
            return []
        inviter = cls(invite.account_name, invite.account_key)
        return [PutRecord(Namespace.SERVER, _INVITER, msgspec.msgpack.encode(inviter))]

    @classmethod
    def load(cls, records: Mapping[Namespace, Mapping[bytes, bytes]]) -> Inviter | None:
        """Read the record, if there is one."""
        data = records.get(Namespace.SERVER, {}).get(_INVITER)
        if data is None:
            return None
        try:
            return msgspec.msgpack.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise StorageError(Code.STORE_BROKEN, "inviter record") from problem

    @staticmethod
    def deletion() -> Change:
        """The end of the record."""
        return DeleteRecord(Namespace.SERVER, _INVITER)
