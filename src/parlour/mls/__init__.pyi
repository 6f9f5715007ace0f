# What type checkers see of `__init__.py`, which imports each name only when it is asked for.
from parlour.mls.private.committing import CommitOptions as CommitOptions
from parlour.mls.private.events import ApplicationMessage as ApplicationMessage
from parlour.mls.private.events import PendingCommit as PendingCommit
from parlour.mls.private.events import ReceivedProposal as ReceivedProposal
from parlour.mls.private.external import ExternalJoin as ExternalJoin
from parlour.mls.private.group import Group as Group
from parlour.mls.private.identity import Identity as Identity
from parlour.mls.private.identity import KeyPackageBundle as KeyPackageBundle
from parlour.mls.private.joining import WelcomeJoin as WelcomeJoin
from parlour.mls.private.processing import StagedCommit as StagedCommit
from parlour.mls.private.psk import PskStore as PskStore
from parlour.mls.private.secrets import ExternalPsk as ExternalPsk
from parlour.mls.public.capabilities import Capabilities as Capabilities
from parlour.mls.public.credentials import BasicCredential as BasicCredential
from parlour.mls.public.credentials import X509Credential as X509Credential
from parlour.mls.public.extensions import Extension as Extension
from parlour.mls.public.extensions import Extensions as Extensions
from parlour.mls.public.framing.messages import decode_message as decode_message
from parlour.mls.public.group import PublicGroup as PublicGroup
from parlour.mls.public.policy import Policy as Policy
from parlour.mls.public.rules import Rule as Rule
from parlour.mls.public.rules import RuleBroken as RuleBroken
from parlour.mls.public.suites import CipherSuiteId as CipherSuiteId
from parlour.mls.public.suites import find_suite as find_suite

__all__ = [
    "ApplicationMessage",
    "BasicCredential",
    "Capabilities",
    "CipherSuiteId",
    "CommitOptions",
    "Extension",
    "Extensions",
    "ExternalJoin",
    "ExternalPsk",
    "Group",
    "Identity",
    "KeyPackageBundle",
    "PendingCommit",
    "Policy",
    "PskStore",
    "PublicGroup",
    "ReceivedProposal",
    "Rule",
    "RuleBroken",
    "StagedCommit",
    "WelcomeJoin",
    "X509Credential",
    "decode_message",
    "find_suite",
]
