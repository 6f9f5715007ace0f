"""Groups that continue others: reinitialization and branches.

Spec: RFC 9420 §11.2, §11.3.
"""

from __future__ import annotations

from collections.abc import Iterable

from parlour.errors import Code, UsageError
from parlour.mls.private.committing import CommitOptions
from parlour.mls.private.group import Group
from parlour.mls.private.identity import Identity
from parlour.mls.public.extensions import Extensions
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.proposals import PreSharedKey
from parlour.mls.public.psk_id import PreSharedKeyId, ResumptionPskId
from parlour.mls.public.types import MLS10, ResumptionPskUsage
from parlour.primitives.random import Random, system_random


def reinit_group(
    old: Group,
    identity: Identity,
    key_packages: Iterable[KeyPackage],
    now: int,
    *,
    check_members: bool = True,
    random: Random = system_random,
) -> tuple[Group, bytes]:
    """The group that replaces a closed one, and the Welcome for its other members.

    Any member of the old group can make it; `identity` is ours in the new suite.
    """
    reinit = old.member.reinit
    if reinit is None:
        raise UsageError(Code.USAGE_STATE, "the group was not closed by a ReInit")
    if reinit.version != MLS10:
        raise UsageError(Code.USAGE_STATE, f"no version {reinit.version:#06x} is known here")
    if identity.suite.id != reinit.cipher_suite:
        raise UsageError(Code.USAGE_INVALID, "an identity of another suite than agreed on")
    packages = list(key_packages)
    if check_members:
        _check_names(old, identity, packages, all_of_them=True)
    return _begin(
        old,
        identity,
        (reinit.group_id, reinit.extensions),
        packages,
        ResumptionPskUsage.REINIT,
        now,
        random,
    )


def branch_group(
    old: Group,
    group_id: bytes,
    key_packages: Iterable[KeyPackage],
    now: int,
    *,
    check_members: bool = True,
    random: Random = system_random,
) -> tuple[Group, bytes]:
    """A group of some members of another, which goes on, and the Welcome for them."""
    packages = list(key_packages)
    identity = old.current.identity
    if check_members:
        _check_names(old, identity, packages, all_of_them=False)
    return _begin(
        old,
        identity,
        (group_id, old.extensions),
        packages,
        ResumptionPskUsage.BRANCH,
        now,
        random,
    )


def _check_names(
    old: Group, identity: Identity, packages: list[KeyPackage], *, all_of_them: bool
) -> None:
    name = old.member.policy.credentials.identity
    former = {name(leaf.credential) for _, leaf in old.members}
    new = {name(package.leaf_node.credential) for package in packages}
    new.add(name(identity.credential))
    if new != former if all_of_them else not new <= former:
        raise UsageError(Code.USAGE_INVALID, "other members than those of the old group")


def _begin(
    old: Group,
    identity: Identity,
    parameters: tuple[bytes, Extensions],
    packages: list[KeyPackage],
    usage: ResumptionPskUsage,
    now: int,
    random: Random,
) -> tuple[Group, bytes]:
    """One commit of a fresh group: the members, and the key that proves the old group."""
    member, context = old.member, old.member.public.group_context
    group = Group.create(
        identity,
        parameters[0],
        now,
        extensions=parameters[1],
        policy=member.policy,
        psks=member.psks,
        random=random,
    )
    key = ResumptionPskId(usage, context.group_id, context.epoch)
    # The commit gives it a nonce.
    psk = PreSharedKeyId(key, b"")
    pending = group.commit(
        now,
        adds=packages,
        proposals=[PreSharedKey(psk)],
        options=CommitOptions(path=True, link=usage),
        random=random,
    )
    group.merge(pending, now)
    if pending.welcome is None:
        raise UsageError(Code.USAGE_INVALID, "a group of ourselves alone continues nothing")
    return group, pending.welcome
