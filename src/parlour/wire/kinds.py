"""The table of operations and pushes. Both doors and the documentation are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from msgspec import Struct

from parlour.wire import (
    directory,
    groups,
    invites,
    joining,
    linking,
    login,
    prekeys,
    profiles,
    push,
    recovery,
    server,
    streams,
    vaults,
)


class Kind(IntEnum):
    """What a frame is. Numbers are never used again for something else."""

    SERVER_INFO = 0x01

    REGISTER_START = 0x10
    REGISTER_FINISH = 0x11
    LOGIN_START = 0x12
    LOGIN_FINISH = 0x13
    RECOVER_START = 0x14
    RECOVER_FINISH = 0x15
    RESET_START = 0x16
    RESET_FINISH = 0x17
    LINK_OFFER = 0x18
    LINK_WAIT = 0x19
    JOIN_UNLOCK = 0x1A
    JOIN_FINISH = 0x1B

    SESSIONS = 0x20
    REVOKE_SESSION = 0x21
    LOG_OUT = 0x22
    LOG_OUT_EVERYWHERE = 0x23
    READ_VAULT = 0x24
    PASSWORD_START = 0x25
    PASSWORD_FINISH = 0x26
    LINK_TAKE = 0x28
    LINK_ANSWER = 0x29
    CREATE_INVITE = 0x2C
    INVITES = 0x2D
    REVOKE_INVITE = 0x2E

    LOOK_UP = 0x30
    READ_DEVICE_LIST = 0x31
    APPEND_DEVICE_LIST = 0x32
    SET_PROFILE = 0x34
    READ_PROFILE = 0x35
    READ_DEVICE_LISTS = 0x36
    READ_LIST_HEADS = 0x37

    PUBLISH_PREKEYS = 0x38
    COUNT_PREKEYS = 0x39
    FETCH_BUNDLES = 0x3A
    PUBLISH_KEY_PACKAGES = 0x3B
    COUNT_KEY_PACKAGES = 0x3C
    FETCH_KEY_PACKAGES = 0x3D

    CREATE_CONVERSATION = 0x40
    CONVERSATIONS = 0x41
    APPEND = 0x42
    READ = 0x43
    CATCH_UP = 0x44
    ACKNOWLEDGE = 0x45
    LIVE_START = 0x46
    CREATE_GROUP = 0x48
    HANDSHAKE = 0x49
    READ_GROUP = 0x4A
    RESTART_GROUP = 0x4B

    PUSH_ENTRY = 0x80
    PUSH_STREAM = 0x81
    PUSH_RESYNC = 0x82
    PUSH_DEVICE_LIST = 0x83
    PUSH_PREKEYS_LOW = 0x84
    PUSH_DRAIN = 0x85
    PUSH_KEY_PACKAGES_LOW = 0x86
    PUSH_KEY_PACKAGES = 0x87

    OK = 0xC0
    ERROR = 0xC1


class Door(StrEnum):
    """Where an operation may be called."""

    PUBLIC = "public"
    """Every door: REST without a token, and both sockets."""
    LOGIN = "login"
    """The login socket, without a token."""
    TOKEN = "token"  # noqa: S105
    """REST and the live socket, with a token."""
    LIVE = "live"
    """The live socket only, with a token."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its name in REST's path, its bodies and its door."""

    name: str
    request: type[Struct]
    response: type[Struct]
    door: Door


OPERATIONS: Final[dict[Kind, Operation]] = {
    Kind.SERVER_INFO: Operation("server", server.Nothing, server.ServerInfo, Door.PUBLIC),
    Kind.REGISTER_START: Operation(
        "register-start", login.RegisterStart, login.RegisterChallenge, Door.LOGIN
    ),
    Kind.REGISTER_FINISH: Operation(
        "register-finish", login.RegisterFinish, login.LoggedIn, Door.LOGIN
    ),
    Kind.LOGIN_START: Operation("login-start", login.LoginStart, login.LoginChallenge, Door.LOGIN),
    Kind.LOGIN_FINISH: Operation("login-finish", login.LoginFinish, login.LoggedIn, Door.LOGIN),
    Kind.RECOVER_START: Operation(
        "recover-start", recovery.RecoverStart, recovery.RecoverChallenge, Door.LOGIN
    ),
    Kind.RECOVER_FINISH: Operation(
        "recover-finish", recovery.RecoverFinish, recovery.Recovered, Door.LOGIN
    ),
    Kind.RESET_START: Operation(
        "reset-start", recovery.ResetStart, login.RegisterChallenge, Door.LOGIN
    ),
    Kind.RESET_FINISH: Operation("reset-finish", recovery.ResetFinish, login.LoggedIn, Door.LOGIN),
    Kind.LINK_OFFER: Operation("link-offer", linking.LinkOffer, server.Nothing, Door.LOGIN),
    Kind.LINK_WAIT: Operation("link-wait", linking.LinkWait, linking.LinkMessage, Door.LOGIN),
    Kind.JOIN_UNLOCK: Operation("join-unlock", joining.JoinUnlock, joining.Joinable, Door.LOGIN),
    Kind.JOIN_FINISH: Operation("join-finish", joining.JoinFinish, login.LoggedIn, Door.LOGIN),
    Kind.SESSIONS: Operation("sessions", server.Nothing, login.Sessions, Door.TOKEN),
    Kind.REVOKE_SESSION: Operation(
        "revoke-session", login.RevokeSession, server.Nothing, Door.TOKEN
    ),
    Kind.LOG_OUT: Operation("log-out", server.Nothing, server.Nothing, Door.TOKEN),
    Kind.LOG_OUT_EVERYWHERE: Operation(
        "log-out-everywhere", login.LogOutEverywhere, server.Nothing, Door.TOKEN
    ),
    Kind.READ_VAULT: Operation("read-vault", server.Nothing, vaults.StoredVaults, Door.TOKEN),
    Kind.PASSWORD_START: Operation(
        "password-start", vaults.PasswordStart, login.RegisterChallenge, Door.TOKEN
    ),
    Kind.PASSWORD_FINISH: Operation(
        "password-finish", vaults.PasswordFinish, server.Nothing, Door.TOKEN
    ),
    Kind.LINK_TAKE: Operation("link-take", linking.LinkTake, linking.LinkMessage, Door.TOKEN),
    Kind.LINK_ANSWER: Operation("link-answer", linking.LinkAnswer, server.Nothing, Door.TOKEN),
    Kind.CREATE_INVITE: Operation(
        "create-invite", invites.CreateInvite, server.Nothing, Door.TOKEN
    ),
    Kind.INVITES: Operation("invites", server.Nothing, invites.InviteList, Door.TOKEN),
    Kind.REVOKE_INVITE: Operation(
        "revoke-invite", invites.RevokeInvite, server.Nothing, Door.TOKEN
    ),
    Kind.LOOK_UP: Operation("look-up", directory.LookUp, directory.DeviceListPage, Door.TOKEN),
    Kind.READ_DEVICE_LIST: Operation(
        "read-device-list", directory.ReadDeviceList, directory.DeviceListPage, Door.TOKEN
    ),
    Kind.APPEND_DEVICE_LIST: Operation(
        "append-device-list", directory.AppendDeviceList, server.Nothing, Door.TOKEN
    ),
    Kind.SET_PROFILE: Operation("set-profile", profiles.SetProfile, server.Nothing, Door.TOKEN),
    Kind.READ_PROFILE: Operation(
        "read-profile", profiles.ReadProfile, profiles.SealedProfile, Door.TOKEN
    ),
    Kind.READ_DEVICE_LISTS: Operation(
        "read-device-lists", groups.ReadDeviceLists, groups.DeviceListPages, Door.TOKEN
    ),
    Kind.READ_LIST_HEADS: Operation(
        "read-list-heads", groups.ReadListHeads, groups.ListHeads, Door.TOKEN
    ),
    Kind.PUBLISH_PREKEYS: Operation(
        "publish-prekeys", prekeys.PublishPrekeys, prekeys.PrekeyCounts, Door.TOKEN
    ),
    Kind.COUNT_PREKEYS: Operation(
        "count-prekeys", server.Nothing, prekeys.PrekeyCounts, Door.TOKEN
    ),
    Kind.FETCH_BUNDLES: Operation(
        "fetch-bundles", prekeys.FetchBundles, prekeys.Bundles, Door.TOKEN
    ),
    Kind.PUBLISH_KEY_PACKAGES: Operation(
        "publish-key-packages", groups.PublishKeyPackages, groups.KeyPackageCounts, Door.TOKEN
    ),
    Kind.COUNT_KEY_PACKAGES: Operation(
        "count-key-packages", server.Nothing, groups.KeyPackageCounts, Door.TOKEN
    ),
    Kind.FETCH_KEY_PACKAGES: Operation(
        "fetch-key-packages", groups.FetchKeyPackages, groups.FoundKeyPackages, Door.TOKEN
    ),
    Kind.CREATE_GROUP: Operation(
        "create-group", groups.CreateGroup, streams.StreamInfo, Door.TOKEN
    ),
    Kind.HANDSHAKE: Operation("handshake", groups.Handshake, groups.Handled, Door.TOKEN),
    Kind.READ_GROUP: Operation("read-group", groups.ReadGroup, groups.GroupState, Door.TOKEN),
    Kind.RESTART_GROUP: Operation("restart-group", groups.RestartGroup, groups.Handled, Door.TOKEN),
    Kind.CREATE_CONVERSATION: Operation(
        "create-conversation", streams.CreateConversation, streams.StreamInfo, Door.TOKEN
    ),
    Kind.CONVERSATIONS: Operation(
        "conversations", streams.ListStreams, streams.StreamInfos, Door.TOKEN
    ),
    Kind.APPEND: Operation("append", streams.Append, streams.Appended, Door.TOKEN),
    Kind.READ: Operation("read", streams.Read, streams.Page, Door.TOKEN),
    Kind.CATCH_UP: Operation("catch-up", streams.CatchUp, streams.CaughtUp, Door.TOKEN),
    Kind.ACKNOWLEDGE: Operation("acknowledge", streams.Acknowledge, server.Nothing, Door.TOKEN),
    Kind.LIVE_START: Operation("live-start", streams.LiveStart, streams.LiveStarted, Door.LIVE),
}

PUSHES: Final[dict[Kind, type[Struct]]] = {
    Kind.PUSH_ENTRY: push.PushEntry,
    Kind.PUSH_STREAM: push.PushStream,
    Kind.PUSH_RESYNC: push.PushResync,
    Kind.PUSH_DEVICE_LIST: push.PushDeviceList,
    Kind.PUSH_PREKEYS_LOW: push.PushPrekeysLow,
    Kind.PUSH_DRAIN: push.PushDrain,
    Kind.PUSH_KEY_PACKAGES_LOW: push.PushKeyPackagesLow,
    Kind.PUSH_KEY_PACKAGES: push.PushKeyPackages,
}
