"""The presets: for each one, what its conversations of each kind are. A table of data.

Spec: INTERFACES ("preset"). What a preset wants that this version does not have stands in the
table all the same, and `built` refuses it by name: nobody gets something weaker than was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from parlour.conversation.policies import SUITE_1, XWING, Policy, Suite
from parlour.conversation.records import Setting
from parlour.errors import Code, UsageError
from parlour.roster import History, Kind, Mode, Retention

# Above this many, a message for each device costs more than a group (`device_list_entry`).
_PAIRWISE: Final = Policy(suite=Suite.DOUBLE_RATCHET, max_members=2, max_pairwise_devices=50)
_SELF: Final = replace(_PAIRWISE, max_members=1)
# X-Wing where all devices have it, as signatures can be replaced later and what was recorded can't.
# Own keys: weekly heals a copied device within the time in which people notice, and 500 messages
# is a busy day; nothing comes near the 45 days after which a device counts as away.
_GROUP: Final = Policy(
    suite=Suite.MLS,
    cipher_suites=(XWING, SUITE_1),
    max_members=1_500,
    update_days=7,
    update_messages=500,
    idle_linked_days=45,
    idle_primary_days=180,
)
_FAMILY: Final = replace(_GROUP, max_members=100)
# Each update of one of 3,000 devices is read by all: a room of that size does it every other week.
_CHANNEL: Final = replace(_GROUP, update_days=14, update_messages=1_000)
_MLS_PAIR: Final = replace(_GROUP, max_members=2)
_MLS_SELF: Final = replace(_GROUP, max_members=1)

_OLM: Final = replace(_PAIRWISE, suite=Suite.OLM)
# Its keys turn with each 100 messages or 7 days (docs/trust.md).
_MEGOLM: Final = Policy(suite=Suite.MEGOLM, max_members=500, update_days=7, update_messages=100)
_VOICE: Final = Policy(suite=Suite.SRTP, mode=Mode.TRUSTED, max_members=200)
_NEIGHBOURS: Final = replace(_GROUP, max_members=500, retention=Retention.DAYS, retention_days=30)
_ARCHIVED: Final = replace(_GROUP, retention=Retention.FOREVER, history=History.SINCE_JOIN)

_BASE: Final = {
    Kind.DIRECT: _PAIRWISE,
    Kind.SELF: _SELF,
    Kind.GROUP: _GROUP,
    Kind.FAMILY: _FAMILY,
    Kind.CHANNEL: _CHANNEL,
}

PRESETS: Final[Mapping[str, Mapping[Kind, Policy]]] = MappingProxyType(
    {
        "default": MappingProxyType(_BASE),
        "default-mls": MappingProxyType(
            {**_BASE, Kind.DIRECT: _MLS_PAIR, Kind.SELF: _MLS_SELF},
        ),
        "signal-level": MappingProxyType(_BASE),
        "famichat": MappingProxyType(
            {
                Kind.DIRECT: replace(_MLS_PAIR, retention=Retention.DAYS, retention_days=30),
                Kind.SELF: _MLS_SELF,
                Kind.GROUP: _NEIGHBOURS,
                Kind.FAMILY: replace(_NEIGHBOURS, max_members=100),
                Kind.CHANNEL: replace(_NEIGHBOURS, update_days=14),
            }
        ),
        "securecomm": MappingProxyType(
            {
                Kind.DIRECT: _PAIRWISE,
                Kind.SELF: _SELF,
                Kind.GROUP: _ARCHIVED,
                Kind.FAMILY: replace(_ARCHIVED, max_members=100),
                Kind.CHANNEL: replace(_ARCHIVED, mode=Mode.MIXED, update_days=14),
            }
        ),
        "voicechat": MappingProxyType(
            {
                Kind.DIRECT: _OLM,
                Kind.SELF: replace(_OLM, max_members=1),
                Kind.GROUP: _MEGOLM,
                Kind.FAMILY: replace(_MEGOLM, max_members=100),
                Kind.CHANNEL: _MEGOLM,
            }
        ),
        # Voice alone: whoever talks to one person does so in a room of two.
        "relay-voice": MappingProxyType(
            {
                Kind.DIRECT: replace(_VOICE, max_members=2),
                Kind.SELF: replace(_VOICE, max_members=1),
                Kind.GROUP: _VOICE,
                Kind.FAMILY: _VOICE,
                Kind.CHANNEL: _VOICE,
            }
        ),
    }
)
DEFAULT: Final = "default"
_ON_MLS: Final = "default-mls"
# The setting that says which preset a person uses, the same on all their devices.
PRESET: Final = "preset"

ABOUT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "default": "Pairwise where two talk, groups by MLS, post-quantum where all devices are.",
        "default-mls": "Like default, and MLS where two talk and among one's own devices as well.",
        "signal-level": "What default is, by the name of what it is measured against.",
        "famichat": "A neighbourhood: MLS where people talk, kept for 30 days.",
        "securecomm": "Guilds with an encrypted archive, and a server that mixes without hearing.",
        "voicechat": "Olm and Megolm, with voice.",
        "relay-voice": "Voice alone, through a server that can hear.",
    }
)


def policy_of(preset: str, kind: Kind) -> Policy:
    """What conversations of `kind` are under `preset`, built or not; raises `UsageError`."""
    policies = PRESETS.get(preset)
    if policies is None:
        raise UsageError(Code.USAGE_INVALID, f"no such preset; there are {', '.join(PRESETS)}")
    return policies[kind]


def chosen(settings: Mapping[str, Setting]) -> str:
    """The preset that a person uses."""
    setting = settings.get(PRESET)
    return DEFAULT if setting is None else setting.value


def group_policy(settings: Mapping[str, Setting], kind: Kind) -> Policy:
    """By what a conversation on MLS is looked after: the person's preset, whoever founded it.

    Where that has something else than MLS for the kind, it is what has MLS everywhere.
    """
    policy = PRESETS.get(chosen(settings), PRESETS[DEFAULT])[kind]
    return policy if policy.suite is Suite.MLS else PRESETS[_ON_MLS][kind]


def check_preset(preset: str) -> None:
    """Raise `UsageError` for a preset of which something is not built, by its name."""
    for kind in Kind:
        built(preset, kind)


def built(preset: str, kind: Kind) -> Policy:
    """The same, for founding one: raises `UsageError` (``policy.unbuilt``) for what is missing."""
    policy = policy_of(preset, kind)
    if policy.missing:
        raise UsageError(
            Code.POLICY_UNBUILT,
            f"preset {preset}, kind {kind.name.lower()}: {policy.missing} is not built yet",
        )
    return policy
