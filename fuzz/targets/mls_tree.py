"""Ratchet trees: what decodes is encoded to the same bytes; a strange tree is refused in peace."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from parlour.codec import decode
from parlour.errors import ParlourError
from parlour.mls import CommitOptions, Group, Identity, KeyPackageBundle
from parlour.mls.private.welcoming import GroupSecrets
from parlour.mls.public.credentials import BasicCredential
from parlour.mls.public.suites import DEFAULT_SUITE
from parlour.mls.public.tree.extension import encode_tree, read_tree
from parlour.mls.public.validation.leaf_nodes import LeafValidator
from parlour.mls.public.validation.tree import check_tree
from parlour.testing.mls import OPEN_POLICY
from parlour.testing.randomness import seeded

_NOW: Final = 1_900_000_000
_POLICY: Final = replace(OPEN_POLICY, max_lifetime=None)


def _seeds() -> list[bytes]:
    random = seeded("fuzz mls tree")
    ada, *others = (
        Identity.generate(BasicCredential(name), random=random)
        for name in (b"ada", b"bea", b"cid", b"dan", b"eve")
    )
    group = Group.create(ada, b"group", _NOW, policy=OPEN_POLICY, random=random)
    trees = [encode_tree(group.current.tree)]
    for who in others:
        bundle = KeyPackageBundle.create(who, _NOW, random=random)
        pending = group.commit(
            _NOW, adds=[bundle.key_package], options=CommitOptions(path=True), random=random
        )
        group.merge(pending, _NOW)
        trees.append(encode_tree(group.current.tree))
    return trees


SEEDS: Final = [*_seeds(), b"\x20" + b"j" * 32 + b"\x00\x00"]


def _is_sound(data: bytes) -> bool:
    tree = read_tree(DEFAULT_SUITE, data)
    assert encode_tree(tree) == data
    check_tree(tree, LeafValidator(DEFAULT_SUITE, _POLICY, _NOW, b"group"))
    return True


def target(data: bytes) -> None:
    try:
        if _is_sound(data):
            assert data in SEEDS, "somebody else's signature verified"
    except ParlourError:
        secrets = decode(data, GroupSecrets.read)
        assert secrets.encode() == data
