# What type checkers see of `__init__.py`, which imports each name only when it is asked for.
from parlour.mls.private.committing import CommitOptions as CommitOptions
from parlour.mls.private.events import ApplicationMessage as ApplicationMessage
from parlour.mls.private.events import PendingCommit as PendingCommit
from parlour.mls.private.events import ReceivedProposal as ReceivedProposal
from parlour.mls.private.external import ExternalJoin as ExternalJoin
from parlour.mls.private.external import propose_as_external_sender as propose_as_external_sender
from parlour.mls.private.external import propose_to_join as propose_to_join
from parlour.mls.private.group import Group as Group
from parlour.mls.private.group import PendingJoin as PendingJoin
from parlour.mls.private.identity import Identity as Identity
from parlour.mls.private.identity import KeyPackageBundle as KeyPackageBundle
from parlour.mls.private.joining import Origin as Origin
from parlour.mls.private.joining import WelcomeJoin as WelcomeJoin
from parlour.mls.private.linking import branch_group as branch_group
from parlour.mls.private.linking import reinit_group as reinit_group
from parlour.mls.private.processing import StagedCommit as StagedCommit
from parlour.mls.private.psk import PskStore as PskStore
from parlour.mls.private.records import GroupRecords as GroupRecords
from parlour.mls.private.secrets import ExternalPsk as ExternalPsk
from parlour.mls.private.selection import LeftOut as LeftOut
from parlour.mls.private.storage import dump_group as dump_group
from parlour.mls.private.storage import dump_private as dump_private
from parlour.mls.private.storage import dump_public as dump_public
from parlour.mls.private.storage import load_group as load_group
from parlour.mls.private.storage import load_parts as load_parts
from parlour.mls.public.capabilities import Capabilities as Capabilities
from parlour.mls.public.capabilities import RequiredCapabilities as RequiredCapabilities
from parlour.mls.public.changes import Changes as Changes
from parlour.mls.public.credentials import BasicCredential as BasicCredential
from parlour.mls.public.credentials import CredentialValidator as CredentialValidator
from parlour.mls.public.credentials import OtherCredential as OtherCredential
from parlour.mls.public.credentials import X509Credential as X509Credential
from parlour.mls.public.extensions import Extension as Extension
from parlour.mls.public.extensions import Extensions as Extensions
from parlour.mls.public.framing.content import Sender as Sender
from parlour.mls.public.framing.messages import KeyPackageMessage as KeyPackageMessage
from parlour.mls.public.framing.messages import decode_message as decode_message
from parlour.mls.public.group import PublicGroup as PublicGroup
from parlour.mls.public.group_context import ExternalSender as ExternalSender
from parlour.mls.public.group_context import GroupContext as GroupContext
from parlour.mls.public.group_context import (
    external_senders_extension as external_senders_extension,
)
from parlour.mls.public.group_info import GroupInfo as GroupInfo
from parlour.mls.public.key_package import KeyPackage as KeyPackage
from parlour.mls.public.leaf_node import LeafNode as LeafNode
from parlour.mls.public.leaf_node import Lifetime as Lifetime
from parlour.mls.public.policy import LifetimeCheck as LifetimeCheck
from parlour.mls.public.policy import Policy as Policy
from parlour.mls.public.proposals import Add as Add
from parlour.mls.public.proposals import ExternalInit as ExternalInit
from parlour.mls.public.proposals import GroupContextExtensions as GroupContextExtensions
from parlour.mls.public.proposals import OtherProposal as OtherProposal
from parlour.mls.public.proposals import PreSharedKey as PreSharedKey
from parlour.mls.public.proposals import ReInit as ReInit
from parlour.mls.public.proposals import Remove as Remove
from parlour.mls.public.proposals import Update as Update
from parlour.mls.public.psk_id import ExternalPskId as ExternalPskId
from parlour.mls.public.psk_id import PreSharedKeyId as PreSharedKeyId
from parlour.mls.public.psk_id import ResumptionPskId as ResumptionPskId
from parlour.mls.public.rules import Rule as Rule
from parlour.mls.public.rules import RuleBroken as RuleBroken
from parlour.mls.public.sharing import SharedStages as SharedStages
from parlour.mls.public.staging import StagedPublic as StagedPublic
from parlour.mls.public.state import SentProposal as SentProposal
from parlour.mls.public.suites import CipherSuite as CipherSuite
from parlour.mls.public.suites import CipherSuiteId as CipherSuiteId
from parlour.mls.public.suites import find_suite as find_suite
from parlour.mls.public.types import ExtensionType as ExtensionType
from parlour.mls.public.types import LeafIndex as LeafIndex
from parlour.mls.public.types import ResumptionPskUsage as ResumptionPskUsage
from parlour.mls.public.types import WireFormat as WireFormat
from parlour.mls.public.welcome_parts import join_welcome_parts as join_welcome_parts
from parlour.mls.public.welcome_parts import split_welcome as split_welcome

__all__ = [
    "Add",
    "ApplicationMessage",
    "BasicCredential",
    "Capabilities",
    "Changes",
    "CipherSuite",
    "CipherSuiteId",
    "CommitOptions",
    "CredentialValidator",
    "Extension",
    "ExtensionType",
    "Extensions",
    "ExternalInit",
    "ExternalJoin",
    "ExternalPsk",
    "ExternalPskId",
    "ExternalSender",
    "Group",
    "GroupContext",
    "GroupContextExtensions",
    "GroupInfo",
    "GroupRecords",
    "Identity",
    "KeyPackage",
    "KeyPackageBundle",
    "KeyPackageMessage",
    "LeafIndex",
    "LeafNode",
    "LeftOut",
    "Lifetime",
    "LifetimeCheck",
    "Origin",
    "OtherCredential",
    "OtherProposal",
    "PendingCommit",
    "PendingJoin",
    "Policy",
    "PreSharedKey",
    "PreSharedKeyId",
    "PskStore",
    "PublicGroup",
    "ReInit",
    "ReceivedProposal",
    "Remove",
    "RequiredCapabilities",
    "ResumptionPskId",
    "ResumptionPskUsage",
    "Rule",
    "RuleBroken",
    "Sender",
    "SentProposal",
    "SharedStages",
    "StagedCommit",
    "StagedPublic",
    "Update",
    "WelcomeJoin",
    "WireFormat",
    "X509Credential",
    "branch_group",
    "decode_message",
    "dump_group",
    "dump_private",
    "dump_public",
    "external_senders_extension",
    "find_suite",
    "join_welcome_parts",
    "load_group",
    "load_parts",
    "propose_as_external_sender",
    "propose_to_join",
    "reinit_group",
    "split_welcome",
]
