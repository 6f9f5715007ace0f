"""Leaf nodes, before they stand in a tree.

Spec: RFC 9420 §7.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from parlour.errors import AuthenticationError
from parlour.mls.public.capabilities import RequiredCapabilities, Support
from parlour.mls.public.credentials import CredentialValidator, check_credential
from parlour.mls.public.extensions import Extensions
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.policy import LifetimeCheck, Policy
from parlour.mls.public.rules import Rule, RuleBroken, require
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.types import MLS10, LeafIndex
from parlour.mls.public.validation.signatures import Run, SignatureCheck, verify_signatures

Decision: TypeAlias = tuple[Callable[..., None], tuple[object, ...]]
"""Something to ask an application, and of what."""


def make_decisions(decisions: Iterable[Decision], credentials: CredentialValidator) -> None:
    """Ask an application; what it does not accept raises."""
    for check, values in decisions:
        check(credentials, *values)


@dataclass(slots=True)
class LeafValidator:
    """Checks leaf nodes for one group at one time (`now`, seconds since the epoch).

    Signatures are collected in `signatures`, to be verified together by `finish`; what the
    application has to decide waits for them in `decisions`. `sending` is for messages of our own.
    """

    suite: CipherSuite
    policy: Policy
    now: int
    group_id: bytes
    group_extensions: Extensions = field(default_factory=Extensions)
    signatures: list[SignatureCheck] = field(default_factory=list)
    sending: bool = False
    decisions: list[Decision] = field(default_factory=list)
    required: RequiredCapabilities | None = field(init=False)
    _group_types: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.required = RequiredCapabilities.of(self.group_extensions)
        self._group_types = self.group_extensions.types

    def check(
        self, leaf: LeafNode, leaf_index: LeafIndex | None = None, *, signed: bool = True
    ) -> None:
        """What does not depend on how the leaf came here. `signed` False: verified before."""
        self._check_keys(leaf, leaf_index)
        self._check_capabilities(leaf)
        if leaf.content.lifetime is not None and self.policy.max_lifetime is not None:
            lifetime = leaf.content.lifetime
            # V0704 §7.2: "Applications MUST define a maximum total lifetime that is acceptable for
            # a LeafNode, and reject any LeafNode where the total lifetime is longer than this
            # duration."
            total = lifetime.not_after - lifetime.not_before
            require(total <= self.policy.max_lifetime, Rule.LIFETIME_TOTAL)
        if signed:
            # V0705 §7.3: "Verify that the signature on the LeafNode is valid using
            # `signature_key`."
            self.signatures.append(
                SignatureCheck(
                    leaf.verifying_key(self.suite),
                    leaf.signed_data(self.suite, self.group_id, leaf_index),
                    leaf.signature,
                    Rule.LEAF_SIGNATURE,
                )
            )

    def check_new(self, leaf: LeafNode) -> None:
        """The credential of a leaf that is new in the group."""
        self.decide(check_credential, leaf.credential, leaf.signature_key)

    def decide(self, check: Callable[..., None], *values: object) -> None:
        """Ask the application something when `finish` has verified the signatures.

        Not before: an application that remembers whom it has seen would learn from forged leaves.
        """
        self.decisions.append((check, values))

    def finish(self, run: Run = map) -> None:
        """Verify all signatures; then let the application decide."""
        verify_signatures(self.signatures, run, self.policy.memo)
        make_decisions(self.decisions, self.policy.credentials)

    def check_lifetime(self, leaf: LeafNode, where: LifetimeCheck) -> None:
        """That a leaf is within its lifetime, if we send it or the policy asks for it here.

        What is received may have expired on the way (§7.3): a member who refuses it then never
        follows the commit that won.
        """
        order = (LifetimeCheck.NEVER, LifetimeCheck.ADDS, LifetimeCheck.ALWAYS)
        lifetime = leaf.content.lifetime
        wanted = self.sending or order.index(self.policy.lifetimes) >= order.index(where)
        if lifetime is None or not wanted:
            return
        # V0709 §7.3: "the client MUST verify that the current time is within the range of the
        # `lifetime` field"
        require(lifetime.covers(self.now), Rule.LEAF_LIFETIME)

    def _check_keys(self, leaf: LeafNode, leaf_index: LeafIndex | None) -> None:
        # V0721 §10: "the `leaf_node` field MUST be valid for the cipher suite, including both the
        # `encryption_key` and `signature_key` fields"
        try:
            leaf.verifying_key(self.suite)
            leaf.hpke_key(self.suite)
        except AuthenticationError as error:
            whose = name_client(leaf) if leaf_index is None else f"leaf {leaf_index}"
            raise RuleBroken(Rule.LEAF_KEY_VALID, whose) from error

    def _check_capabilities(self, leaf: LeafNode) -> None:
        capabilities = leaf.capabilities
        # V0722 §11.1: "At a minimum, all members of the group need to support the cipher suite and
        # protocol version in use."
        listed = MLS10 in capabilities.versions and self.suite.id in capabilities.cipher_suites
        require(listed or not self.policy.listed_suites, Rule.LEAF_CIPHER_SUITE)
        # V0702 §7.3: "Verify that the extensions in the LeafNode are supported by checking that the
        # ID for each extension in the `extensions` field is listed in the `capabilities.extensions`
        # field of the LeafNode."
        own = leaf.content.extensions.types
        require(all(map(capabilities.supports_extension, own)), Rule.CAPABILITIES_EXTENSIONS)
        # V0703 §7.2: "the credential type used in the LeafNode MUST be included in the
        # `credentials` field of the `capabilities` field"
        kind = leaf.credential.credential_type
        require(kind in capabilities.credentials, Rule.CAPABILITIES_CREDENTIAL)
        # V0723 §13.4: "The `capabilities` field MUST indicate support for each extension in the
        # GroupContext."
        group = self._group_types
        require(all(map(capabilities.supports_extension, group)), Rule.LEAF_GROUP_EXTENSIONS)
        # V0706 §7.3: "If the GroupContext has a `required_capabilities` extension, then the
        # required extensions, proposals, and credential types MUST be listed in the LeafNode's
        # `capabilities` field."
        required = self.required
        fulfilled = required is None or capabilities.meets(required)
        require(fulfilled, Rule.LEAF_REQUIRED_CAPABILITIES)


def name_client(leaf: LeafNode) -> str:
    """Who a leaf belongs to that has no place yet, for an error: credentials may be long."""
    return f"signature key {leaf.signature_key[:8].hex()}…"


def check_credential_types(support: Support, leaves: list[LeafNode]) -> None:
    """That everybody in a tree can tell who the new leaves are, and they who the others are."""
    in_use = set(support.credentials_in_use)
    for leaf in leaves:
        # V0708 §7.3: "the `capabilities` field of this LeafNode indicates support for all the
        # credential types currently in use by other members"
        known = in_use <= set(leaf.capabilities.credentials)
        require(known, Rule.LEAF_SUPPORTS_CREDENTIALS)
    for kind in in_use:
        # V0707 §7.3: "Verify that the credential type is supported by all members of the group, as
        # specified by the `capabilities` field of each member's LeafNode"
        require(support.credential(kind), Rule.LEAF_CREDENTIAL_SUPPORTED)
