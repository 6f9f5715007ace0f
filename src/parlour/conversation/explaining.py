"""A policy in words, for people who want to know what they get."""

from __future__ import annotations

from typing import Final

from parlour.conversation.policies import (
    MAX_LEAVES,
    MAX_XWING_LEAVES,
    SUITE_1,
    XWING,
    XWING_256,
    Policy,
    Suite,
)
from parlour.conversation.presets import policy_of
from parlour.roster import History, Kind, Mode, Retention

_CIPHER_SUITES: Final = {
    SUITE_1: "suite 1 (X25519)",
    XWING: "X-Wing (post-quantum)",
    XWING_256: "X-Wing with AES-256 (post-quantum)",
}
_RETENTION: Final = {
    Retention.QUEUE: "until every device has read it, 30 days at most",
    Retention.FOREVER: "for good, as ciphertext",
}
_HISTORY: Final = {
    History.NONE: (
        "none. Newcomers read nothing of before, and no key that is stolen later opens what the "
        "server has kept"
    ),
    History.SINCE_JOIN: (
        "encrypted, on the server. Whoever gets the key of the archive reads what it holds: "
        "forward secrecy ends at that key"
    ),
    History.ALL: (
        "encrypted, on the server, and newcomers get all of it. Whoever gets the key of the "
        "archive reads what it holds: forward secrecy ends at that key"
    ),
}
_MODES: Final = {
    Mode.PARANOID: "the members alone",
    Mode.TRUSTED: "the members, and THE SERVER",
    Mode.MIXED: "the members; the server adds what it cannot hear",
}


def explain(preset: str, kind: Kind) -> dict[str, str]:
    """What conversations of `kind` are under `preset`, as sentences under headings.

    Raises `UsageError` for an unknown preset.
    """
    policy = policy_of(preset, kind)
    words = {
        "encryption": f"always, {_between(policy)}; no option turns it off",
        "suite": _suite(policy),
        "deniable": _deniable(policy),
        "members": _members(policy),
    }
    if policy.suite is not Suite.SRTP:
        words |= _of_messages(policy)
    if kind is Kind.CHANNEL:
        words["voice"] = f"heard by {_MODES[policy.mode]}"
    if policy.missing:
        words["not built"] = f"{policy.missing}: this version refuses to found one"
    return words


def _of_messages(policy: Policy) -> dict[str, str]:
    """What there is to say where messages are written, and kept."""
    return {
        "kept": _kept(policy),
        "archive": _HISTORY[policy.history],
        "keys": _keys(policy),
        "away": _away(policy),
        "people": (
            "a key is believed as an invite or the server shows it first; compare safety numbers "
            "to be sure. Once compared, a changed key stops the conversation"
        ),
        "repeats": "refused, by the id of the message",
    }


def _between(policy: Policy) -> str:
    if policy.suite is Suite.SRTP:
        return "but between each device and the server, which hears everything"
    return "end to end"


def _suite(policy: Policy) -> str:
    if not policy.cipher_suites:
        return policy.suite.title
    names = [_CIPHER_SUITES[suite] for suite in policy.cipher_suites]
    return (
        f"{policy.suite.title}: {names[0]} if all devices have it and there are no more than "
        f"{MAX_XWING_LEAVES:,}, else {names[-1]}"
    )


def _deniable(policy: Policy) -> str:
    if policy.suite.is_deniable:
        return "yes: who shows a message to others could have made it up"
    return "no: messages are signed, and a member can prove to others who wrote one"


def _kept(policy: Policy) -> str:
    if policy.retention is Retention.DAYS:
        return f"{policy.retention_days} days on the server, as ciphertext"
    return _RETENTION[policy.retention]


def _members(policy: Policy) -> str:
    if policy.max_members == 1:
        return "you, with all your devices"
    most = "two" if policy.max_members == 2 else f"up to {policy.max_members:,}"  # noqa: PLR2004
    if policy.max_pairwise_devices:
        return f"{most}, with up to {policy.max_pairwise_devices} devices each"
    words = f"{most}, each with several devices"
    if XWING in policy.cipher_suites and policy.max_members > MAX_XWING_LEAVES // 2:
        words += (
            f". A group that was founded on X-Wing stays on it, and holds {MAX_XWING_LEAVES:,} "
            f"devices, some {MAX_XWING_LEAVES // 2:,} people with two each. Who expects more "
            f"founds it with --suite mls, which holds {MAX_LEAVES:,}"
        )
    return words


def _keys(policy: Policy) -> str:
    if not policy.update_days:
        return "new ones with every answer"
    words = (
        f"a device replaces its own within {policy.update_days} days, or after "
        f"{policy.update_messages:,} messages of its own"
    )
    return f"{words}, and soon after it came" if policy.suite is Suite.MLS else words


def _away(policy: Policy) -> str:
    if not policy.idle_linked_days:
        return "nothing is done about a device that is away"
    return (
        f"a linked device that was away for {policy.idle_linked_days} days is taken out, the first "
        f"one of an account after {policy.idle_primary_days}"
    )
