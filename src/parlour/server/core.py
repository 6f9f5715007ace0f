"""The server without its doors: services, hub and dispatcher, put together over a store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec import Struct

import parlour
from parlour.errors import Code, error
from parlour.login import OpaqueServer
from parlour.primitives.random import Random, system_random
from parlour.server.accounts import AccountService
from parlour.server.caller import Caller
from parlour.server.clock import Clock, system_clock
from parlour.server.directory import DirectoryService
from parlour.server.dispatcher import Dispatcher, Handler
from parlour.server.groups import GroupService, Members
from parlour.server.hub import Hub
from parlour.server.identity import ServerIdentity
from parlour.server.invites import InviteService
from parlour.server.joins import JoinService
from parlour.server.key_packages import KeyPackageService
from parlour.server.limits import Limits
from parlour.server.links import LinkService
from parlour.server.live import LiveService
from parlour.server.logins import LoginService
from parlour.server.logs import Log
from parlour.server.prekeys import PrekeyService
from parlour.server.profiles import ProfileService
from parlour.server.pseudonyms import Pseudonyms
from parlour.server.recovery import RecoveryService
from parlour.server.sessions import Grant, SessionService
from parlour.server.store import Store
from parlour.server.streams import StreamService
from parlour.server.talk import LoginTalk
from parlour.wire.frames import WIRE_VERSION
from parlour.wire.kinds import Kind
from parlour.wire.server import Nothing, ServerInfo

SOFTWARE: Final = f"parlour {parlour.__version__}"


class Core:
    """What both doors need."""

    def __init__(
        self,
        store: Store,
        opaque: OpaqueServer,
        identity: ServerIdentity,
        log: Log,
        *,
        limits_factor: float = 1.0,
        clock: Clock = system_clock,
        random: Random = system_random,
    ) -> None:
        self.store = store
        self.identity = identity
        self.log = log
        self.opaque = opaque
        self.clock = clock
        self.pseudonyms = Pseudonyms(clock, random)
        self.limits = Limits(clock, limits_factor)
        self.hub = Hub()
        self.draining = False
        self.sessions = SessionService(store, clock, random)
        self.sessions.on_refused = self.hub.refuse
        self._logins = LoginService(
            store, self.sessions, self.limits, opaque, identity, clock, random
        )
        self._accounts = AccountService(store, self.hub, self.sessions, opaque, identity, clock)
        self._recovery = RecoveryService(
            store,
            self._accounts,
            self.sessions,
            self.limits,
            opaque,
            identity,
            clock,
            random,
        )
        self._joins = JoinService(store, self._accounts, self.sessions, opaque, identity, clock)
        self.links = LinkService(store, self.sessions, identity, clock)
        self._invites = InviteService(store, identity, clock)
        self._profiles = ProfileService(store)
        self._directory = DirectoryService(store, self.limits)
        self._prekeys = PrekeyService(store, self.hub, self.limits, clock)
        members = Members()
        self._streams = StreamService(store, self.hub, clock, members)
        self._groups = GroupService(store, self.hub, self.limits, clock, members)
        self._key_packages = KeyPackageService(
            store, self.hub, self.limits, clock, self._groups.ahead.given_out
        )
        self._live = LiveService(store, self.hub, clock, log, self.pseudonyms)
        self.dispatcher = Dispatcher(self._handlers(), self.sessions, self.limits)

    def check_open(self) -> None:
        """Return if requests are still taken in; raises ``server.draining``."""
        if self.draining:
            raise error(Code.SERVER_DRAINING)

    def _handlers(self) -> dict[Kind, Handler]:
        logins, sessions, directory = self._logins, self.sessions, self._directory
        accounts, prekeys, streams = self._accounts, self._prekeys, self._streams
        key_packages, groups = self._key_packages, self._groups
        return {
            Kind.SERVER_INFO: self._info,
            Kind.REGISTER_START: _talking(logins.register_start),
            Kind.REGISTER_FINISH: _talking(logins.register_finish),
            Kind.LOGIN_START: _talking(logins.login_start),
            Kind.LOGIN_FINISH: _talking(logins.login_finish),
            Kind.RECOVER_START: _talking(self._recovery.recover_start),
            Kind.RECOVER_FINISH: _talking(self._recovery.recover_finish),
            Kind.RESET_START: _talking(self._recovery.reset_start),
            Kind.RESET_FINISH: _talking(self._recovery.reset_finish),
            Kind.JOIN_UNLOCK: _talking(self._joins.unlock),
            Kind.JOIN_FINISH: _talking(self._joins.finish),
            Kind.LINK_OFFER: _talking(self.links.offer),
            Kind.LINK_WAIT: _talking(self.links.wait),
            Kind.SESSIONS: _granted(lambda grant, _: sessions.list(grant)),
            Kind.REVOKE_SESSION: _granted(
                lambda grant, request: _done(sessions.revoke(grant, request.handle))
            ),
            Kind.LOG_OUT: _granted(lambda grant, _: _done(sessions.log_out(grant))),
            Kind.LOG_OUT_EVERYWHERE: _granted(
                lambda grant, request: _done(
                    sessions.log_out_everywhere(grant, but_this=request.but_this)
                )
            ),
            Kind.READ_VAULT: _granted(lambda grant, _: accounts.read_vault(grant)),
            Kind.PASSWORD_START: _granted(accounts.password_start),
            Kind.PASSWORD_FINISH: _granted(accounts.password_finish),
            Kind.LINK_TAKE: _granted(self.links.take),
            Kind.LINK_ANSWER: _granted(self.links.answer),
            Kind.CREATE_INVITE: _granted(self._invites.create),
            Kind.INVITES: _granted(lambda grant, _: self._invites.list(grant)),
            Kind.REVOKE_INVITE: _granted(self._invites.revoke),
            Kind.LOOK_UP: _granted(directory.look_up),
            Kind.READ_DEVICE_LIST: _granted(directory.read_list),
            Kind.APPEND_DEVICE_LIST: _granted(accounts.append_list),
            Kind.SET_PROFILE: _granted(self._profiles.replace),
            Kind.READ_PROFILE: _granted(self._profiles.read),
            Kind.PUBLISH_PREKEYS: _granted(prekeys.publish),
            Kind.COUNT_PREKEYS: _granted(lambda grant, _: prekeys.counts(grant)),
            Kind.FETCH_BUNDLES: _granted(prekeys.fetch),
            Kind.READ_DEVICE_LISTS: _granted(directory.read_lists),
            Kind.READ_LIST_HEADS: _granted(directory.read_heads),
            Kind.PUBLISH_KEY_PACKAGES: _granted(key_packages.publish),
            Kind.COUNT_KEY_PACKAGES: _granted(lambda grant, _: key_packages.counts(grant)),
            Kind.FETCH_KEY_PACKAGES: _granted(key_packages.fetch),
            Kind.CREATE_GROUP: _granted(groups.create),
            Kind.HANDSHAKE: _granted(groups.handshake),
            Kind.READ_GROUP: _granted(groups.read),
            Kind.RESTART_GROUP: _granted(groups.restart),
            Kind.CREATE_CONVERSATION: _granted(streams.create),
            Kind.CONVERSATIONS: _granted(streams.of_device),
            Kind.APPEND: _granted(streams.append),
            Kind.READ: _granted(streams.read),
            Kind.CATCH_UP: _granted(streams.catch_up),
            Kind.ACKNOWLEDGE: _granted(streams.acknowledge),
            Kind.LIVE_START: self._live.start,
        }

    async def _info(self, caller: Caller, request: Nothing) -> ServerInfo:
        return ServerInfo(
            name=self.identity.name,
            wire_versions=[WIRE_VERSION],
            software=SOFTWARE,
            incarnation=self.store.incarnation,
            time=self.clock(),
            registration=self.identity.registration,
            next_pin=self.identity.next_pin,
            lone_vaults=self.identity.lone_vaults,
        )


def _granted(serve: Callable[[Grant, Any], Awaitable[Struct]]) -> Handler:
    """A handler that takes the caller's grant."""
    return lambda caller, request: serve(caller.known, request)


def _talking(serve: Callable[[LoginTalk, Any], Awaitable[Struct]]) -> Handler:
    """A handler that takes the caller's login under way."""
    return lambda caller, request: serve(caller.logging_in, request)


async def _done(act: Awaitable[None]) -> Nothing:
    await act
    return Nothing()
