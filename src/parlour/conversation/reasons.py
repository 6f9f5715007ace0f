"""Why a message can't be read, what is done about it by itself, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_HOUR: Final = 3_600_000
_DAY: Final = 24 * _HOUR


class Reason(StrEnum):
    """One code for each reason of unreadability."""

    NEWER_FORMAT = "unreadable.newer_format"
    DEVICE_LIST = "unreadable.device_list"
    UNKNOWN_DEVICE = "unreadable.unknown_device"
    KEY_CHANGED = "unreadable.key_changed"
    NO_PART = "unreadable.no_part"
    NO_SESSION = "unreadable.no_session"
    PREKEY_USED = "unreadable.prekey_used"
    TOO_OLD = "unreadable.too_old"
    TAMPERED = "unreadable.tampered"
    MALFORMED = "unreadable.malformed"
    EPOCH_LOST = "unreadable.epoch_lost"
    EPOCH_OVER = "unreadable.epoch_over"
    NOT_MEMBER = "unreadable.not_member"
    LOST = "unreadable.lost"
    REPEATED = "unreadable.repeated"


class Repair(StrEnum):
    """What the machine does by itself."""

    NONE = "none"
    RESEND = "resend"
    """Ask the sender's device for it again, over a fresh session."""
    DIRECTORY = "directory"
    """Read the sender's device list again, then try once more."""
    UPDATE = "update"
    """Keep it until a newer program opens this home."""
    PERSON = "person"
    """Wait for a person to accept the changed key, then try once more."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """The sentence for people, the repair, and its deadline in milliseconds from arrival."""

    sentence: str
    repair: Repair
    deadline: int


_RESEND_DEADLINE: Final = 7 * _DAY

TREATMENTS: Final[dict[Reason, Treatment]] = {
    Reason.NEWER_FORMAT: Treatment(
        "This needs a newer version of this program.", Repair.UPDATE, 365 * _DAY
    ),
    Reason.DEVICE_LIST: Treatment(
        "It came from a device that is not known here yet.", Repair.DIRECTORY, _DAY
    ),
    Reason.UNKNOWN_DEVICE: Treatment(
        "It came from a device that is not on its account's list.", Repair.NONE, 0
    ),
    Reason.KEY_CHANGED: Treatment(
        "The sender's key has changed and waits for you to accept it.", Repair.PERSON, 365 * _DAY
    ),
    Reason.NO_PART: Treatment(
        "It was sent before this device was known to the sender.", Repair.RESEND, _RESEND_DEADLINE
    ),
    Reason.NO_SESSION: Treatment(
        "It belongs to a session that this device does not have.", Repair.RESEND, _RESEND_DEADLINE
    ),
    Reason.PREKEY_USED: Treatment(
        "The server gave one key out twice.", Repair.RESEND, _RESEND_DEADLINE
    ),
    Reason.TOO_OLD: Treatment("Its key is no longer kept.", Repair.RESEND, _RESEND_DEADLINE),
    Reason.TAMPERED: Treatment(
        "It was changed on the way, or damaged.", Repair.RESEND, _RESEND_DEADLINE
    ),
    Reason.EPOCH_LOST: Treatment(
        "It was sent while this device had lost its way in the group.",
        Repair.RESEND,
        _RESEND_DEADLINE,
    ),
    Reason.EPOCH_OVER: Treatment(
        "It came so late that its keys are no longer kept.", Repair.RESEND, _RESEND_DEADLINE
    ),
    Reason.NOT_MEMBER: Treatment("Its sender was not in the group any more.", Repair.NONE, 0),
    Reason.MALFORMED: Treatment("Its sender made it wrongly.", Repair.NONE, 0),
    Reason.REPEATED: Treatment(
        "It came a second time, or a copy of its sender's device made it.",
        Repair.RESEND,
        _RESEND_DEADLINE,
    ),
    Reason.LOST: Treatment(
        "It could not be read and was not sent again in time. Ask the sender to repeat it.",
        Repair.NONE,
        0,
    ),
}
