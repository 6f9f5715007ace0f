import pytest

from parlour.double_ratchet import labels, merkle
from parlour.errors import Code
from parlour.primitives.hashes import sha256
from tests.pairs import refused


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 202])
def test_every_leaf_leads_to_the_root(count: int) -> None:
    leaves = [merkle.leaf_hash(b"%d" % place) for place in range(count)]
    root, paths = merkle.build(leaves)
    for index, (leaf, path) in enumerate(zip(leaves, paths, strict=True)):
        assert merkle.root_of(leaf, index, path) == root


def test_tree_of_three_by_hand() -> None:
    a, b, c = (sha256(labels.PREKEY_LEAF + content) for content in (b"a", b"b", b"c"))
    left = sha256(labels.PREKEY_NODE + a + b)
    right = sha256(labels.PREKEY_NODE + c + bytes(32))
    assert merkle.build([a, b, c]) == (
        sha256(labels.PREKEY_NODE + left + right),
        [b + right, a + right, bytes(32) + left],
    )


def test_other_leaf_place_or_path_leads_elsewhere() -> None:
    leaves = [merkle.leaf_hash(b"%d" % place) for place in range(4)]
    root, paths = merkle.build(leaves)
    assert merkle.root_of(leaves[1], 0, paths[0]) != root
    assert merkle.root_of(leaves[0], 1, paths[0]) != root
    assert merkle.root_of(leaves[0], 0, paths[1]) != root


def test_batch_is_bounded() -> None:
    refused(Code.USAGE_INVALID, merkle.build, [])
    refused(Code.USAGE_INVALID, merkle.build, [bytes(32)] * 257)
    assert len(merkle.build([bytes(32)] * 256)[1][0]) == 8 * 32
