"""Messaging Layer Security (RFC 9420), sans I/O.

`public` is all that needs no private key; a server imports it alone. `private` is a member. The
names below are imported when they are first asked for, so that `parlour.mls.public` never loads
the private half.

Values in, values out: time (`now`, seconds since the epoch) and randomness are arguments.
"""

import importlib

_PLACES = {
    "ApplicationMessage": "private.events",
    "BasicCredential": "public.credentials",
    "Capabilities": "public.capabilities",
    "CipherSuiteId": "public.suites",
    "CommitOptions": "private.committing",
    "ExternalJoin": "private.external",
    "ExternalPsk": "private.secrets",
    "Extension": "public.extensions",
    "Extensions": "public.extensions",
    "Group": "private.group",
    "Identity": "private.identity",
    "KeyPackageBundle": "private.identity",
    "PendingCommit": "private.events",
    "Policy": "public.policy",
    "PskStore": "private.psk",
    "PublicGroup": "public.group",
    "ReceivedProposal": "private.events",
    "Rule": "public.rules",
    "RuleBroken": "public.rules",
    "StagedCommit": "private.processing",
    "WelcomeJoin": "private.joining",
    "X509Credential": "public.credentials",
    "decode_message": "public.framing.messages",
    "find_suite": "public.suites",
}

__all__ = list(_PLACES)


def __getattr__(name: str) -> object:
    if name in _PLACES:
        return getattr(importlib.import_module(f"parlour.mls.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
