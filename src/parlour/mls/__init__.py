"""Messaging Layer Security (RFC 9420), sans I/O.

`public` is all that needs no private key; a server imports it alone. `private` is a member. The
names below are imported when they are first asked for, so that `parlour.mls.public` never loads
the private half.

Values in, values out: time (`now`, seconds since the epoch) and randomness are arguments.
"""

import importlib

_PLACES = {
    "Add": "public.proposals",
    "ApplicationMessage": "private.events",
    "BasicCredential": "public.credentials",
    "Capabilities": "public.capabilities",
    "Changes": "public.changes",
    "CipherSuite": "public.suites",
    "CipherSuiteId": "public.suites",
    "CommitOptions": "private.committing",
    "CredentialValidator": "public.credentials",
    "Extension": "public.extensions",
    "ExtensionType": "public.types",
    "Extensions": "public.extensions",
    "ExternalInit": "public.proposals",
    "ExternalJoin": "private.external",
    "ExternalPsk": "private.secrets",
    "ExternalPskId": "public.psk_id",
    "ExternalSender": "public.group_context",
    "Group": "private.group",
    "GroupContext": "public.group_context",
    "GroupContextExtensions": "public.proposals",
    "GroupInfo": "public.group_info",
    "GroupRecords": "private.records",
    "Identity": "private.identity",
    "KeyPackage": "public.key_package",
    "KeyPackageBundle": "private.identity",
    "KeyPackageMessage": "public.framing.messages",
    "LeafIndex": "public.types",
    "LeafNode": "public.leaf_node",
    "LeftOut": "private.selection",
    "Lifetime": "public.leaf_node",
    "LifetimeCheck": "public.policy",
    "Origin": "private.joining",
    "OtherCredential": "public.credentials",
    "OtherProposal": "public.proposals",
    "PendingCommit": "private.events",
    "PendingJoin": "private.group",
    "Policy": "public.policy",
    "PreSharedKey": "public.proposals",
    "PreSharedKeyId": "public.psk_id",
    "PskStore": "private.psk",
    "PublicGroup": "public.group",
    "ReInit": "public.proposals",
    "ReceivedProposal": "private.events",
    "Remove": "public.proposals",
    "RequiredCapabilities": "public.capabilities",
    "ResumptionPskId": "public.psk_id",
    "ResumptionPskUsage": "public.types",
    "Rule": "public.rules",
    "RuleBroken": "public.rules",
    "Sender": "public.framing.content",
    "SentProposal": "public.state",
    "SharedStages": "public.sharing",
    "StagedCommit": "private.processing",
    "StagedPublic": "public.staging",
    "Update": "public.proposals",
    "WelcomeJoin": "private.joining",
    "WireFormat": "public.types",
    "X509Credential": "public.credentials",
    "branch_group": "private.linking",
    "decode_message": "public.framing.messages",
    "dump_group": "private.storage",
    "dump_private": "private.storage",
    "dump_public": "private.storage",
    "external_senders_extension": "public.group_context",
    "find_suite": "public.suites",
    "join_welcome_parts": "public.welcome_parts",
    "load_group": "private.storage",
    "load_parts": "private.storage",
    "propose_as_external_sender": "private.external",
    "propose_to_join": "private.external",
    "reinit_group": "private.linking",
    "split_welcome": "public.welcome_parts",
}

__all__ = list(_PLACES)


def __getattr__(name: str) -> object:
    if name in _PLACES:
        return getattr(importlib.import_module(f"parlour.mls.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
