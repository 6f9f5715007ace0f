"""`Client.invites`: invite people, and meet who has invited us.

An invite names the server, its key, and the account key of who invites. The newcomer's program
looks the inviter up, once it is registered, and compares: a server that shows another key under
that name is found out before a word was said. Until that was done, and if it fails for ever,
nothing is sent under the inviter's name: `Client.contact` refuses it, until a person has compared
safety numbers or goes on without (`Client.verify`, `Client.accept`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

from parlour.client.inviter import Inviter
from parlour.client.own_list import Room
from parlour.conversation.changes import Namespace
from parlour.conversation.contact import Contact
from parlour.errors import Code, ParlourError, SecurityStop, UsageError, error
from parlour.identity.invite import Invite, InviteSecret
from parlour.primitives.hashes import sha256
from parlour.primitives.random import system_random
from parlour.primitives.signature import Ed25519PublicKey
from parlour.wire.invites import CreateInvite, InviteInfo, InviteList, RevokeInvite
from parlour.wire.kinds import Kind
from parlour.wire.limits import MAX_INVITE_USES
from parlour.wire.server import Nothing

_DAY: Final = 24 * 60 * 60
DEFAULT_DAYS: Final = 7
# A server takes none that lasts longer.
MAX_DAYS: Final = 30
# Characters of a hash in hex that name an invite.
SHORT_HASH: Final = 8
# Seconds until the inviter is looked up again, if that failed.
PAUSE: Final = 30.0


Check: TypeAlias = Callable[[str, Ed25519PublicKey], None]
"""Raises if an account may not have that name and key."""


class Invites:
    """What an open client does with invites. `find` looks an account up by its name."""

    def __init__(
        self,
        room: Room,
        records: Mapping[Namespace, Mapping[bytes, bytes]],
        find: Callable[[str], Awaitable[Contact]],
    ) -> None:
        self._room = room
        self._find = find
        self._inviter = Inviter.load(records)
        self.problem: ParlourError | None = None
        """What `run` has found wrong with who has invited us, if something is."""

    # --- Invite --------------------------------------------------------------------------

    async def create(self, *, uses: int = 1, days: int = DEFAULT_DAYS) -> Invite:
        """Make an invite for `uses` people, good for 1 to 30 days. Hand `to_text()` over.

        It holds our account key and name. The server sees the hash of its secret, until somebody
        uses it. Raises `INVITE_OPERATOR` where only the operator invites, `LIMIT_COUNT` where too
        many are open, and `USAGE_INVALID`.
        """
        if not 1 <= days <= MAX_DAYS:
            raise UsageError(Code.USAGE_INVALID, f"an invite is good for 1 to {MAX_DAYS} days")
        if not 1 <= uses <= MAX_INVITE_USES:
            raise UsageError(Code.USAGE_INVALID, f"an invite has 1 to {MAX_INVITE_USES} uses")
        account, secret = self._room.account, InviteSecret.generate(system_random)
        expires_at = int(time.time()) + days * _DAY
        request = CreateInvite(sha256(secret.reveal()), uses, expires_at * 1000)
        await self._room.link.ask(Kind.CREATE_INVITE, request, Nothing)
        return Invite(
            server=account.server,
            host=account.host,
            port=account.port,
            pin=account.pins[0] if account.pins else None,
            secret=secret,
            account_key=self._room.contact.head.account_key.to_bytes(),
            expires_at=expires_at,
            account_name=self._room.own.name,
        )

    async def list(self) -> Sequence[InviteInfo]:
        """Our invites that can still be used, by the hash of their secret."""
        return (await self._room.ask(Kind.INVITES, Nothing(), InviteList)).invites

    async def revoke(self, invite: Invite | str) -> None:
        """End an invite: the invite, its text, or eight or more characters of its hash in hex.

        Raises `USAGE_INVALID` where we have none that this means. Who has registered stays.
        """
        await self._room.ask(Kind.REVOKE_INVITE, RevokeInvite(await self._hash(invite)), Nothing)

    async def _hash(self, invite: Invite | str) -> bytes:
        if isinstance(invite, str) and not invite.strip().startswith("parlour:"):
            wanted = invite.strip().casefold()
            found = [each.hash for each in await self.list() if each.hash.hex().startswith(wanted)]
            if len(wanted) < SHORT_HASH or len(found) != 1:
                raise UsageError(Code.USAGE_INVALID, "no invite of ours, or several")
            return found[0]
        read = Invite.from_text(invite) if isinstance(invite, str) else invite
        if read.secret is None:
            raise UsageError(Code.USAGE_INVALID, "that invite has no secret")
        return sha256(read.secret.reveal())

    # --- Who has invited us --------------------------------------------------------------

    @property
    def inviter(self) -> str | None:
        """The name of who has invited us, while we have not met them."""
        return None if self._inviter is None else self._inviter.name

    async def meet(self) -> Contact | None:
        """Look up who has invited us and make them a contact; None if that is done.

        Raises `INVITE_MISMATCH` where the server shows another key under that name, or nobody, and
        what a look-up raises.
        """
        inviter = self._inviter
        if inviter is None:
            return None
        try:
            contact = await self._find(inviter.name)
            # Whose invite one takes, one wants to hear.
            await self._room.engine.step(
                lambda machine, now: machine.accept_request(contact.account_id, now)
            )
        except ParlourError as problem:
            if problem.code is Code.ACCOUNT_UNKNOWN:
                raise error(Code.INVITE_MISMATCH, "it knows nobody of that name") from None
            raise
        await self.settle(inviter.name)
        return contact

    def check(self, name: str, key: Ed25519PublicKey) -> None:
        """Return unless `name` is who has invited us and shows another key than the invite."""
        inviter = self._inviter
        if inviter is not None and inviter.name == name and inviter.account_key != key.to_bytes():
            raise error(Code.INVITE_MISMATCH)

    async def settle(self, name: str) -> None:
        """We have met, or a person has decided what to believe."""
        if self._inviter is not None and self._inviter.name == name:
            self._inviter, self.problem = None, None
            await self._room.store.apply([Inviter.deletion()])
            self._room.engine.changed.notify()

    async def run(self) -> None:
        """Meet who has invited us as soon as the server is there; in the background of a client."""
        link = self._room.link
        while self._inviter is not None:
            seen = link.changed.count
            if not link.status.online:
                await link.changed.wait(seen)
                continue
            try:
                await self.meet()
            except ParlourError as problem:
                self.problem = problem
                self._room.engine.changed.notify()
                if isinstance(problem, SecurityStop):
                    return
                await asyncio.sleep(PAUSE)
