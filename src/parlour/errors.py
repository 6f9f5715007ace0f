"""One tree of errors, shared by every layer, door and command.

::

    ParlourError
    ├── UsageError            the caller's mistake: wrong argument, wrong order of calls
    ├── PeerError             the other side broke the rules of a protocol
    │   ├── DecodeError       its bytes do not parse
    │   └── AuthenticationError   a signature, a tag or a proof does not verify
    ├── AccessError           login, token or membership does not allow it
    ├── NotFoundError         a name, a device, a stream that is not there
    ├── ConflictError         somebody was first: compare-and-swap lost, a name is taken
    ├── LimitError            a bound or a rate was reached
    ├── SecurityStop          going on would be unsafe; a person has to decide
    ├── StorageError          the disk or the database failed
    ├── TransportError        the network failed
    └── InternalError         our bug; please report it

Every error carries a `Code`; REST, the live socket, the command line and the SDK show the same
one. `CODES` gives for each the class, a sentence for people and what to do about it. A peer hears
only the code and that sentence; `detail` stays on this side, and never holds a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final


class ExitCode(IntEnum):
    """What the command line ends with."""

    FINE = 0
    BUG = 1
    USAGE = 2
    LOGIN = 3
    NOT_FOUND = 4
    NETWORK = 5
    SECURITY = 6
    LIMIT = 7


class Code(StrEnum):
    """Stable codes ``area.reason`` of everything that can go wrong."""

    # the caller
    USAGE_INVALID = "usage.invalid"
    USAGE_STATE = "usage.state"
    USAGE_CONFIG = "usage.config"
    # decoding
    DECODE_MALFORMED = "decode.malformed"
    DECODE_TRUNCATED = "decode.truncated"
    DECODE_TRAILING = "decode.trailing"
    DECODE_OVERSIZED = "decode.oversized"
    DECODE_VERSION = "decode.version"
    # cryptography
    CRYPTO_KEY = "crypto.key"
    CRYPTO_TAG = "crypto.tag"
    CRYPTO_SIGNATURE = "crypto.signature"
    CRYPTO_CERTIFICATE = "crypto.certificate"
    # pairwise sessions
    SESSION_NONE = "session.none"
    SESSION_REPLAYED = "session.replayed"
    SESSION_JUMP = "session.jump"
    SESSION_TOO_OLD = "session.too_old"
    SESSION_STALE = "session.stale"
    PREKEY_UNKNOWN = "prekey.unknown"
    PREKEY_REUSED = "prekey.reused"
    PREKEY_EXPIRED = "prekey.expired"
    PREKEY_DOWNGRADE = "prekey.downgrade"
    PREKEY_NONE = "prekey.none"
    KEY_PACKAGE_NONE = "key_package.none"
    KEY_PACKAGE_INVALID = "key_package.invalid"
    KEY_PACKAGE_EXPIRED = "key_package.expired"
    # accounts and devices
    LOGIN_FAILED = "login.failed"
    LOGIN_EXPIRED = "login.expired"
    LOGIN_BINDING = "login.binding"
    TOKEN_MISSING = "token.missing"  # noqa: S105
    TOKEN_INVALID = "token.invalid"  # noqa: S105
    TOKEN_REVOKED = "token.revoked"  # noqa: S105
    INVITE_INVALID = "invite.invalid"
    INVITE_REQUIRED = "invite.required"
    INVITE_OPERATOR = "invite.operator"
    INVITE_MISMATCH = "invite.mismatch"
    ACCOUNT_EXISTS = "account.exists"
    ACCOUNT_UNKNOWN = "account.unknown"
    ACCOUNT_KEY_CHANGED = "account.key_changed"
    ACCOUNT_NOT_HERE = "account.not_here"
    DEVICE_UNKNOWN = "device.unknown"
    DEVICE_REMOVED = "device.removed"
    DEVICE_COPIED = "device.copied"
    DEVICE_LIST_INVALID = "device_list.invalid"
    DEVICE_LIST_ROLLBACK = "device_list.rollback"
    DEVICE_LIST_CONFLICT = "device_list.conflict"
    DEVICE_LIST_APPROVAL = "device_list.approval"
    VAULT_CLOSED = "vault.closed"
    VAULT_CONFLICT = "vault.conflict"
    VAULT_ROLLBACK = "vault.rollback"
    PASSPHRASE_REFUSED = "passphrase.refused"  # noqa: S105
    RECOVERY_MISTYPED = "recovery.mistyped"
    RECOVERY_FAILED = "recovery.failed"
    LINK_INVALID = "link.invalid"
    LINK_EXPIRED = "link.expired"
    LINK_USED = "link.used"
    LINK_CONFLICT = "link.conflict"
    LINK_MISMATCH = "link.mismatch"
    LINK_REFUSED = "link.refused"
    PROFILE_UNKNOWN = "profile.unknown"
    PROFILE_ROLLBACK = "profile.rollback"
    PROFILE_UNANNOUNCED = "profile.unannounced"
    CONTACT_BLOCKED = "contact.blocked"
    # streams and conversations
    STREAM_UNKNOWN = "stream.unknown"
    STREAM_FORBIDDEN = "stream.forbidden"
    STREAM_EPOCH = "stream.epoch"
    STREAM_PARTS = "stream.parts"
    STREAM_INCARNATION = "stream.incarnation"
    CONVERSATION_UNKNOWN = "conversation.unknown"
    CONVERSATION_GENESIS = "conversation.genesis"
    # groups
    MLS_INVALID = "mls.invalid"
    MLS_EPOCH = "mls.epoch"
    MLS_PSK = "mls.psk"
    GROUP_UNKNOWN = "group.unknown"
    POLICY_UNBUILT = "policy.unbuilt"
    GROUP_AMBIGUOUS = "group.ambiguous"
    GROUP_NOT_MEMBER = "group.not_member"
    GROUP_NO_MEMBER = "group.no_member"
    GROUP_OVER = "group.over"
    GROUP_FULL = "group.full"
    GROUP_INVALID = "group.invalid"
    GROUP_EPOCH_GONE = "group.epoch_gone"
    GROUP_LINK = "group.link"
    GROUP_COMMIT_REFUSED = "group.commit_refused"
    GROUP_WELCOME_REFUSED = "group.welcome_refused"
    GROUP_ROLLBACK = "group.rollback"
    ROSTER_INVALID = "roster.invalid"
    ROSTER_FORBIDDEN = "roster.forbidden"
    ROSTER_ROLLBACK = "roster.rollback"
    # limits
    LIMIT_RATE = "limit.rate"
    LIMIT_SIZE = "limit.size"
    LIMIT_COUNT = "limit.count"
    # the server as a whole
    SERVER_DRAINING = "server.draining"
    SERVER_PIN = "server.pin"
    SERVER_NAME = "server.name"
    SERVER_VERSION = "server.version"
    SERVER_CLOCK = "server.clock"
    SERVER_MISBEHAVED = "server.misbehaved"
    NETWORK_UNREACHABLE = "network.unreachable"
    NETWORK_TIMEOUT = "network.timeout"
    NETWORK_CLOSED = "network.closed"
    NETWORK_SLOW = "network.slow"
    # storage
    STORE_FULL = "store.full"
    STORE_BROKEN = "store.broken"
    STORE_VERSION = "store.version"
    STORE_LOCKED = "store.locked"
    STORE_PASSWORD = "store.password"  # noqa: S105
    STORE_KEYCHAIN = "store.keychain"
    STORE_SECRET = "store.secret"  # noqa: S105
    BACKUP_UNKNOWN = "backup.unknown"
    BACKUP_PASSPHRASE = "backup.passphrase"  # noqa: S105
    BACKUP_DAMAGED = "backup.damaged"
    BACKUP_OTHER = "backup.other_account"
    HOME_EXISTS = "home.exists"
    HOME_MISSING = "home.missing"
    INTERNAL_BUG = "internal.bug"


class ParlourError(Exception):
    """The root. `code` is stable; `detail` is local, for a log or a developer, never a secret."""

    exit_code: ExitCode = ExitCode.BUG
    retry_after: int | None = None
    """Milliseconds to wait before the next try, where the other side named a time."""

    def __init__(self, code: Code, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        return CODES[self.code].sentence

    @property
    def remedy(self) -> str:
        """What to do about it, for people."""
        return CODES[self.code].remedy

    def __str__(self) -> str:
        return f"{self.sentence} [{self.code.value}]" + (f" ({self.detail})" if self.detail else "")


class UsageError(ParlourError):
    """The caller's mistake."""

    exit_code = ExitCode.USAGE


class PeerError(ParlourError):
    """The other side broke the rules."""

    exit_code = ExitCode.SECURITY


class DecodeError(PeerError):
    """Bytes that do not parse."""


class AuthenticationError(PeerError):
    """A signature, a tag or a proof that does not verify."""


class AccessError(ParlourError):
    """Login, token or membership does not allow it."""

    exit_code = ExitCode.LOGIN


class NotFoundError(ParlourError):
    """Something that is not there."""

    exit_code = ExitCode.NOT_FOUND


class ConflictError(ParlourError):
    """Somebody was first."""

    exit_code = ExitCode.USAGE


class LimitError(ParlourError):
    """A bound or a rate was reached."""

    exit_code = ExitCode.LIMIT


class SecurityStop(ParlourError):
    """Going on would be unsafe; a person has to decide."""

    exit_code = ExitCode.SECURITY


class StorageError(ParlourError):
    """The disk or the database failed."""

    exit_code = ExitCode.BUG


class TransportError(ParlourError):
    """The network failed."""

    exit_code = ExitCode.NETWORK


class InternalError(ParlourError):
    """Our bug."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The class, the sentence and the remedy of one code."""

    kind: type[ParlourError]
    sentence: str
    remedy: str


_AGAIN: Final = "Try again; if it happens again, tell the person you talk with."
_BUG: Final = "Please report it with the command and the code."
_PEER: Final = "Nothing was changed. Update both programs; if it stays, the sender is at fault."

CODES: Final[dict[Code, Explanation]] = {
    Code.USAGE_INVALID: Explanation(
        UsageError, "An argument is not valid.", "See the command's --help."
    ),
    Code.USAGE_STATE: Explanation(
        UsageError, "This can't be done in the present state.", "See the detail for the order."
    ),
    Code.USAGE_CONFIG: Explanation(
        UsageError, "The configuration is not valid.", "Correct the named setting."
    ),
    Code.DECODE_MALFORMED: Explanation(DecodeError, "The data is malformed.", _PEER),
    Code.DECODE_TRUNCATED: Explanation(DecodeError, "The data ends too early.", _PEER),
    Code.DECODE_TRAILING: Explanation(DecodeError, "The data goes on after its end.", _PEER),
    Code.DECODE_OVERSIZED: Explanation(DecodeError, "The data is larger than allowed.", _PEER),
    Code.DECODE_VERSION: Explanation(
        DecodeError, "The format's version is not known here.", "Update this program."
    ),
    Code.CRYPTO_KEY: Explanation(AuthenticationError, "A key is not valid.", _PEER),
    Code.CRYPTO_TAG: Explanation(AuthenticationError, "The ciphertext does not verify.", _PEER),
    Code.CRYPTO_SIGNATURE: Explanation(AuthenticationError, "A signature does not verify.", _PEER),
    Code.CRYPTO_CERTIFICATE: Explanation(
        AuthenticationError, "A certificate is not valid.", "Ask the operator of the server."
    ),
    Code.SESSION_NONE: Explanation(
        PeerError, "There is no session that this message belongs to.", _AGAIN
    ),
    Code.SESSION_REPLAYED: Explanation(
        PeerError, "The message was already read once.", "Nothing: a copy was dropped."
    ),
    Code.SESSION_JUMP: Explanation(
        LimitError, "The message skips more messages than allowed.", _AGAIN
    ),
    Code.SESSION_TOO_OLD: Explanation(
        PeerError, "The key of this late message is no longer kept.", "Ask for it to be sent again."
    ),
    Code.SESSION_STALE: Explanation(
        PeerError, "The session was replaced.", "It is set up again by itself."
    ),
    Code.PREKEY_UNKNOWN: Explanation(
        PeerError, "A first message names a prekey that is not here.", "It is sent again by itself."
    ),
    Code.PREKEY_REUSED: Explanation(
        PeerError, "A one-time prekey was used twice.", "It is sent again by itself."
    ),
    Code.PREKEY_EXPIRED: Explanation(PeerError, "A prekey has expired.", _AGAIN),
    Code.PREKEY_DOWNGRADE: Explanation(
        SecurityStop,
        "The server left out the post-quantum key of a device that has one.",
        "Nothing was sent. Tell the operator; the server may be attacking you.",
    ),
    Code.PREKEY_NONE: Explanation(
        NotFoundError, "The device has not published any prekeys.", "Wait until it is online."
    ),
    Code.KEY_PACKAGE_NONE: Explanation(
        NotFoundError, "The device has not published any key packages.", "Wait until it is online."
    ),
    Code.KEY_PACKAGE_INVALID: Explanation(
        SecurityStop,
        "The key package that the server shows is not one of that device.",
        "The device was not added. Tell the operator; the server may be attacking you.",
    ),
    Code.KEY_PACKAGE_EXPIRED: Explanation(
        PeerError, "The device's key package has expired.", "Wait until it is online."
    ),
    Code.LOGIN_FAILED: Explanation(
        AccessError, "The name or the password is wrong.", "Check both and try again."
    ),
    Code.LOGIN_EXPIRED: Explanation(AccessError, "The login took too long.", "Start it again."),
    Code.LOGIN_BINDING: Explanation(
        AccessError, "The login was not bound to this server and device.", "Start it again."
    ),
    Code.TOKEN_MISSING: Explanation(AccessError, "A token is needed here.", "Log in first."),
    Code.TOKEN_INVALID: Explanation(
        AccessError, "The token is not valid.", "Log in again with `parlour login`."
    ),
    Code.TOKEN_REVOKED: Explanation(
        AccessError, "This login was ended.", "Log in again with `parlour login`."
    ),
    Code.INVITE_INVALID: Explanation(
        AccessError, "The invite is not valid, used up or expired.", "Ask for a new one."
    ),
    Code.INVITE_REQUIRED: Explanation(
        AccessError, "This server takes new accounts by invite only.", "Ask for an invite."
    ),
    Code.INVITE_OPERATOR: Explanation(
        AccessError, "On this server only the operator invites.", "Ask the operator for an invite."
    ),
    Code.INVITE_MISMATCH: Explanation(
        SecurityStop,
        "Who answers to the name of your inviter has not the key that the invite names.",
        "Nothing was sent to them. Ask your inviter by another way, and compare safety numbers.",
    ),
    Code.ACCOUNT_EXISTS: Explanation(
        ConflictError, "The name is taken on this server.", "Choose another name."
    ),
    Code.ACCOUNT_UNKNOWN: Explanation(
        NotFoundError, "There is no account of that name.", "Check the exact name."
    ),
    Code.ACCOUNT_KEY_CHANGED: Explanation(
        SecurityStop,
        "The account's key is not the one you knew.",
        "Compare safety numbers, then accept with `parlour verify NAME --accept`.",
    ),
    Code.ACCOUNT_NOT_HERE: Explanation(
        NotFoundError, "That account lives on another server.", "Use its exact name."
    ),
    Code.DEVICE_UNKNOWN: Explanation(
        NotFoundError, "There is no such device on that account.", "Look at its device list."
    ),
    Code.DEVICE_REMOVED: Explanation(
        AccessError,
        "This device was removed from its account.",
        "What is on it can still be read. To use the account here, link it anew: parlour join.",
    ),
    Code.DEVICE_COPIED: Explanation(
        SecurityStop,
        "This folder is a copy or an old backup of a device that went on elsewhere.",
        "Use the newest copy only; a restore must be a new device.",
    ),
    Code.DEVICE_LIST_INVALID: Explanation(
        SecurityStop,
        "A device list does not verify.",
        "Nothing was sent. Compare safety numbers before you go on.",
    ),
    Code.DEVICE_LIST_ROLLBACK: Explanation(
        SecurityStop,
        "The server shows an older device list than before.",
        "Nothing was sent. Tell the operator; the server may be attacking you.",
    ),
    Code.DEVICE_LIST_CONFLICT: Explanation(
        ConflictError, "Another device changed the device list first.", "It is tried again."
    ),
    Code.DEVICE_LIST_APPROVAL: Explanation(
        SecurityStop,
        "A new device was not approved by an old one.",
        "It is not trusted. Approve it on an old device, or with the recovery key.",
    ),
    Code.VAULT_CLOSED: Explanation(
        AccessError, "The vault does not open.", "Check the password and the recovery key."
    ),
    Code.VAULT_CONFLICT: Explanation(
        ConflictError,
        "Another device changed the password or the recovery key first.",
        "Start again with the one that is valid now.",
    ),
    Code.VAULT_ROLLBACK: Explanation(
        SecurityStop,
        "The server shows an older vault of this account than before, or another one.",
        "Nothing was changed. Tell the operator; the server may be attacking you.",
    ),
    Code.PASSPHRASE_REFUSED: Explanation(
        AccessError,
        "A passphrase alone is not enough here.",
        "Link with one of your devices, or use the recovery key.",
    ),
    Code.RECOVERY_MISTYPED: Explanation(
        UsageError,
        "This is not a recovery key as it was printed.",
        "Compare it with the paper, group by group.",
    ),
    Code.RECOVERY_FAILED: Explanation(
        AccessError,
        "The name or the recovery key is wrong.",
        "Check the name; only the newest recovery key of an account is valid.",
    ),
    Code.LINK_INVALID: Explanation(
        UsageError, "This is not a code for linking devices.", "Copy or scan it again."
    ),
    Code.LINK_EXPIRED: Explanation(
        AccessError,
        "The code for linking has expired, or was never shown on this server.",
        "Show a new one; it is good for ten minutes.",
    ),
    Code.LINK_USED: Explanation(
        AccessError,
        "The code for linking was already used.",
        "Show a new one. If you did not use it, look at your list of devices.",
    ),
    Code.LINK_CONFLICT: Explanation(
        SecurityStop,
        "Two devices used the same code for linking.",
        "Nothing was linked. Show a new code where nobody else can see it.",
    ),
    Code.LINK_MISMATCH: Explanation(
        SecurityStop,
        "What came is not from the device whose code was used.",
        "Nothing was linked. Show a new code where nobody else can see it.",
    ),
    Code.LINK_REFUSED: Explanation(
        AccessError, "The other device ended the linking.", "Start again if you meant to go on."
    ),
    Code.PROFILE_UNKNOWN: Explanation(
        NotFoundError,
        "There is no profile, or it is not for you.",
        "People show their profiles to those they talk with.",
    ),
    Code.PROFILE_ROLLBACK: Explanation(
        SecurityStop,
        "The server shows an older profile than before.",
        "The newer one is kept. Tell the operator; the server may be attacking you.",
    ),
    Code.PROFILE_UNANNOUNCED: Explanation(
        SecurityStop,
        "The server shows a profile that its owner has not announced.",
        "It is not taken. If it is a newer one, what announces it is on its way.",
    ),
    Code.CONTACT_BLOCKED: Explanation(
        UsageError, "You have blocked this account.", "Unblock it first: parlour unblock NAME."
    ),
    Code.STREAM_UNKNOWN: Explanation(
        NotFoundError, "There is no such stream, or you are not a member.", "Check the id."
    ),
    Code.STREAM_FORBIDDEN: Explanation(
        AccessError, "You may not do that in this stream.", "Ask somebody who may."
    ),
    Code.STREAM_EPOCH: Explanation(
        ConflictError, "Another change came first.", "It is tried again by itself."
    ),
    Code.STREAM_PARTS: Explanation(
        ConflictError,
        "The message names a device that is not in the conversation.",
        "The device list is read again by itself.",
    ),
    Code.STREAM_INCARNATION: Explanation(
        SecurityStop,
        "The server's data is not the one this device knew.",
        "Ask the operator whether a backup was restored.",
    ),
    Code.CONVERSATION_UNKNOWN: Explanation(
        NotFoundError, "There is no such conversation.", "Check the name."
    ),
    Code.CONVERSATION_GENESIS: Explanation(
        SecurityStop,
        "The conversation's founding entry is not acceptable.",
        "Nothing was read or sent. Tell the operator.",
    ),
    Code.MLS_INVALID: Explanation(PeerError, "A message breaks the rules of its group.", _PEER),
    Code.MLS_EPOCH: Explanation(
        PeerError, "A message belongs to another state of its group.", "It is fetched in order."
    ),
    Code.MLS_PSK: Explanation(
        PeerError, "A change of a group needs a key that is not here.", "Ask to be added again."
    ),
    Code.GROUP_UNKNOWN: Explanation(
        NotFoundError, "There is no such group.", "Check its name or id: parlour group list."
    ),
    Code.GROUP_AMBIGUOUS: Explanation(
        UsageError, "Several groups have that name.", "Name it by its id: parlour group list."
    ),
    Code.GROUP_NO_MEMBER: Explanation(
        NotFoundError,
        "That account is not in the group.",
        "See who is: parlour group members NAME.",
    ),
    Code.GROUP_OVER: Explanation(
        AccessError,
        "You are not in that group any more.",
        "What was said while you were stays here. To come back, ask a member.",
    ),
    Code.GROUP_FULL: Explanation(
        LimitError,
        "The group has no room for so many.",
        "Add fewer, or found a larger one: with --suite mls it holds 4,096 devices, which are some "
        "2,000 people; parlour policy show says for how many your preset is.",
    ),
    Code.POLICY_UNBUILT: Explanation(
        UsageError,
        "The preset asks for what this version does not have.",
        "Choose another preset: parlour policy list.",
    ),
    Code.GROUP_NOT_MEMBER: Explanation(
        AccessError,
        "This device is not in the group now, though its account is.",
        "It is added again by itself; what waits is sent then.",
    ),
    Code.GROUP_INVALID: Explanation(
        PeerError,
        "The server found that a message or a change breaks the rules of its group.",
        "Nothing was changed. It is made anew by itself; if it stays, update this program.",
    ),
    Code.GROUP_EPOCH_GONE: Explanation(
        NotFoundError,
        "The server no longer keeps that state of the group.",
        "The group is read as it is now.",
    ),
    Code.GROUP_LINK: Explanation(
        AccessError,
        "The link to the group is not open, or not for this account.",
        "Ask a member for a new one.",
    ),
    Code.GROUP_COMMIT_REFUSED: Explanation(
        SecurityStop,
        "A change of the group is not allowed to who made it.",
        "The group repairs itself. If it comes again, a member or the server is at fault.",
    ),
    Code.GROUP_ROLLBACK: Explanation(
        SecurityStop,
        "The server shows an older state of the group than this device has seen.",
        "Nothing was changed. Tell the operator; the server may be attacking you.",
    ),
    Code.GROUP_WELCOME_REFUSED: Explanation(
        SecurityStop,
        "What should bring this device into the group does not fit together.",
        "The program asks to be added again by itself.",
    ),
    Code.ROSTER_INVALID: Explanation(
        SecurityStop,
        "The list of a group's members does not verify.",
        "Nothing was changed. If it happens again, tell the members; somebody may be cheating.",
    ),
    Code.ROSTER_FORBIDDEN: Explanation(
        AccessError,
        "The role in this group does not allow that.",
        "Ask a member with a higher role.",
    ),
    Code.ROSTER_ROLLBACK: Explanation(
        SecurityStop,
        "The server shows an older list of a group's members than before, or another one.",
        "Nothing was changed. Tell the operator; the server may be attacking you.",
    ),
    Code.LIMIT_RATE: Explanation(LimitError, "Too many requests.", "Wait a moment."),
    Code.LIMIT_SIZE: Explanation(LimitError, "It is larger than allowed.", "Make it smaller."),
    Code.LIMIT_COUNT: Explanation(LimitError, "There are more than allowed.", "Remove some first."),
    Code.SERVER_DRAINING: Explanation(
        TransportError, "The server is restarting.", "It is tried again by itself."
    ),
    Code.SERVER_PIN: Explanation(
        SecurityStop,
        "The server's key is not the pinned one.",
        "Somebody may sit between you and the server. Ask the operator for the pin.",
    ),
    Code.SERVER_NAME: Explanation(
        SecurityStop,
        "The server calls itself by another name.",
        "Ask the operator for a new invite.",
    ),
    Code.SERVER_VERSION: Explanation(
        TransportError, "Client and server share no version.", "Update the older one."
    ),
    Code.SERVER_CLOCK: Explanation(
        TransportError, "The clocks of client and server differ.", "Set the clock."
    ),
    Code.SERVER_MISBEHAVED: Explanation(
        PeerError, "The server broke the protocol.", "Nothing was lost. Tell the operator."
    ),
    Code.NETWORK_UNREACHABLE: Explanation(
        TransportError, "The server can't be reached.", "Check the address and the network."
    ),
    Code.NETWORK_TIMEOUT: Explanation(
        TransportError, "The server did not answer in time.", "Try again."
    ),
    Code.NETWORK_CLOSED: Explanation(
        TransportError, "The connection was closed.", "It is opened again by itself."
    ),
    Code.NETWORK_SLOW: Explanation(
        TransportError, "The connection takes too little in.", "It catches up by itself."
    ),
    Code.STORE_FULL: Explanation(
        StorageError, "The disk is full.", "Make room; nothing that was confirmed is lost."
    ),
    Code.STORE_BROKEN: Explanation(
        StorageError, "The database can't be read or written.", "Restore a backup."
    ),
    Code.STORE_VERSION: Explanation(
        StorageError,
        "The home was last used by another version of Parlour, which keeps it in another way.",
        "Use the newest version. If that can't read it either, link this device anew.",
    ),
    Code.STORE_LOCKED: Explanation(
        StorageError, "Another program uses this folder.", "End it first."
    ),
    Code.STORE_PASSWORD: Explanation(
        AccessError, "The password does not open this folder.", "Try again."
    ),
    Code.STORE_KEYCHAIN: Explanation(
        AccessError,
        "The system's keychain does not give the key of this folder.",
        "Unlock it, choose another keychain, or use a password.",
    ),
    Code.STORE_SECRET: Explanation(
        UsageError,
        "A secret of the server is missing, weak or readable by others.",
        "Restore the file with mode 0600.",
    ),
    Code.BACKUP_UNKNOWN: Explanation(
        UsageError, "This file is no backup that this program knows.", "Name another file."
    ),
    Code.BACKUP_PASSPHRASE: Explanation(
        AccessError,
        "The passphrase does not open this backup.",
        "Compare each word with the paper. Without it nobody opens the backup.",
    ),
    Code.BACKUP_DAMAGED: Explanation(
        SecurityStop,
        "The backup is damaged, was cut off, or was changed.",
        "Nothing was imported. Use another copy of it.",
    ),
    Code.BACKUP_OTHER: Explanation(
        UsageError,
        "This is the backup of another account.",
        "Import it into a home of that account, with --home.",
    ),
    Code.HOME_EXISTS: Explanation(
        UsageError, "This folder already holds an account.", "Choose another --home."
    ),
    Code.HOME_MISSING: Explanation(
        UsageError, "This folder holds no account.", "Register first with `parlour register`."
    ),
    Code.INTERNAL_BUG: Explanation(InternalError, "This is a bug in Parlour.", _BUG),
}


def error(code: Code, detail: str = "") -> ParlourError:
    """Build the error of the class that `CODES` names for `code`."""
    return CODES[code].kind(code, detail)


# What only this side can find out. A server that claims one of these would speak in the name of
# our own checks: make people believe that a friend's key changed, or that their password is wrong.
_NEVER_FROM_A_SERVER: Final = frozenset(
    {
        Code.ACCOUNT_KEY_CHANGED,
        Code.INVITE_MISMATCH,
        Code.DEVICE_LIST_ROLLBACK,
        Code.PREKEY_DOWNGRADE,
        Code.KEY_PACKAGE_INVALID,
        Code.KEY_PACKAGE_EXPIRED,
        Code.CONVERSATION_GENESIS,
        Code.STREAM_INCARNATION,
        Code.SERVER_PIN,
        Code.SERVER_NAME,
        Code.STORE_PASSWORD,
        Code.VAULT_CLOSED,
        Code.VAULT_ROLLBACK,
        Code.RECOVERY_MISTYPED,
        Code.LINK_INVALID,
        Code.LINK_MISMATCH,
        Code.PROFILE_ROLLBACK,
        Code.PROFILE_UNANNOUNCED,
        Code.ROSTER_ROLLBACK,
        Code.POLICY_UNBUILT,
        Code.BACKUP_UNKNOWN,
        Code.BACKUP_PASSPHRASE,
        Code.BACKUP_DAMAGED,
        Code.BACKUP_OTHER,
        Code.CONTACT_BLOCKED,
        Code.HOME_EXISTS,
        Code.HOME_MISSING,
    }
)


def error_from_wire(code: str, detail: str = "") -> ParlourError:
    """Build the error for a code that a server sent; one that it can't know is its own fault."""
    try:
        known = Code(code)
    except ValueError:
        return error(Code.SERVER_MISBEHAVED, "unknown error code")
    if known in _NEVER_FROM_A_SERVER:
        return error(Code.SERVER_MISBEHAVED, f"claims {known.value}")
    return error(known, detail)
