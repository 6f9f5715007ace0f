"""Parts of the protocol in the upstream forms, for suites 1 to 7: known answers for a clone alone.

The trees are those of `mls_scenario`; secrets come from seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from parlour.mls.private.key_schedule import (
    Schedule,
    derive_joiner_secret,
    export,
    external_key_pair,
)
from parlour.mls.private.protection import sender_data_keys
from parlour.mls.private.psk import Psk, derive_psk_secret
from parlour.mls.private.secret_tree import SecretTree
from parlour.mls.private.secrets import (
    CommitSecret,
    EncryptionSecret,
    ExternalPsk,
    InitSecret,
    PskSecret,
    SenderDataSecret,
)
from parlour.mls.public.extensions import NO_EXTENSIONS
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.proposals import Remove
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId
from parlour.mls.public.suites import CipherSuite, find_suite
from parlour.mls.public.tree.extension import encode_tree
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import LeafIndex, NodeIndex, WireFormat
from parlour.testing.randomness import seeded
from tools.vectors.mls_scenario import GROUP_ID, Scenario, four_clients

Case = dict[str, Any]
_EXPORTER: Final = ("parlour exporter", 40)
_GENERATIONS: Final = (0, 1, 5)


def key_schedule(suite: CipherSuite) -> Case:
    """Three epochs, one after the other."""
    random, size = seeded(f"mls key schedule {suite.id}"), suite.hash_size
    init = InitSecret(random(size))
    case: Case = {
        "cipher_suite": int(suite.id),
        "group_id": GROUP_ID.hex(),
        "initial_init_secret": init.reveal().hex(),
        "epochs": [],
    }
    for number in range(3):
        inputs = [random(size) for _ in range(4)]
        tree_hash, transcript, commit_secret, psk_secret = inputs
        context = GroupContext(suite.id, GROUP_ID, number, tree_hash, transcript, NO_EXTENSIONS)
        joiner = derive_joiner_secret(suite, init, CommitSecret(commit_secret), context)
        schedule = Schedule.begin(suite, joiner, PskSecret(psk_secret))
        secrets, encryption = schedule.epoch(context)
        label, length = _EXPORTER
        exported = export(suite, secrets.exporter_secret, label.encode(), GROUP_ID, length)
        key = external_key_pair(suite, secrets.external_secret)
        case["epochs"].append(
            {
                "tree_hash": tree_hash.hex(),
                "commit_secret": commit_secret.hex(),
                "psk_secret": psk_secret.hex(),
                "confirmed_transcript_hash": transcript.hex(),
                "group_context": context.encoded.hex(),
                "joiner_secret": joiner.reveal().hex(),
                "welcome_secret": schedule.welcome_secret.reveal().hex(),
                "encryption_secret": encryption.reveal().hex(),
                **{n: getattr(secrets, n).reveal().hex() for n in secrets.__slots__},
                "external_pub": key.public_key.to_bytes().hex(),
                "exporter": {
                    "label": label,
                    "context": GROUP_ID.hex(),
                    "length": length,
                    "secret": exported.hex(),
                },
            }
        )
        init = secrets.init_secret
    return case


def psk_secret(suite: CipherSuite) -> Case:
    """As many keys as the suite's number."""
    random = seeded(f"mls psk secret {suite.id}")
    keys = [(random(9), random(40), random(suite.hash_size)) for _ in range(suite.id)]
    psks: list[tuple[PreSharedKeyId, Psk]] = [
        (PreSharedKeyId(ExternalPskId(name), nonce), ExternalPsk(key)) for name, key, nonce in keys
    ]
    return {
        "cipher_suite": int(suite.id),
        "psks": [
            {"psk_id": name.hex(), "psk": key.hex(), "psk_nonce": nonce.hex()}
            for name, key, nonce in keys
        ],
        "psk_secret": derive_psk_secret(suite, psks).reveal().hex(),
    }


def secret_tree(suite: CipherSuite) -> Case:
    """Some generations of each of eight leaves, and the keys of sender data."""
    random = seeded(f"mls secret tree {suite.id}")
    secret, ciphertext, encryption = random(suite.hash_size), random(77), random(suite.hash_size)
    key, nonce = sender_data_keys(suite, SenderDataSecret(secret), ciphertext)
    tree = SecretTree(suite, 8, EncryptionSecret(encryption))
    leaves = []
    for leaf in range(8):
        entries = []
        for generation in _GENERATIONS:
            entry: Case = {"generation": generation}
            for kind, name in enumerate(("handshake", "application")):
                found = tree.find(LeafIndex(leaf), kind, generation)
                tree.accept(found)
                entry |= {f"{name}_key": found.key.hex(), f"{name}_nonce": found.nonce.hex()}
            entries.append(entry)
        leaves.append(entries)
    return {
        "cipher_suite": int(suite.id),
        "sender_data": {
            "sender_data_secret": secret.hex(),
            "ciphertext": ciphertext.hex(),
            "key": key.hex(),
            "nonce": nonce.hex(),
        },
        "encryption_secret": encryption.hex(),
        "leaves": leaves,
    }


def tree_validation(suite: CipherSuite) -> Case:
    """A tree with blanks and unmerged leaves."""
    scenario = Scenario(four_clients(suite), WireFormat.PUBLIC_MESSAGE, tree_inside=True)
    scenario.commit(1, [])
    for name in ("dan", "eve"):
        scenario.join(name)
    scenario.commit(0, [], Remove(LeafIndex(2)))
    scenario.join("fay")
    tree: RatchetTree = scenario.passive.group.current.tree
    nodes = [NodeIndex(node) for node in range(2 * tree.leaf_count - 1)]
    return {
        "cipher_suite": int(suite.id),
        "tree": encode_tree(tree).hex(),
        "group_id": GROUP_ID.hex(),
        "resolutions": [list(map(int, tree.resolution(node))) for node in nodes],
        "tree_hashes": [tree.tree_hash(node).hex() for node in nodes],
    }


KINDS: Final[dict[str, Callable[[CipherSuite], Case]]] = {
    "key-schedule": key_schedule,
    "psk_secret": psk_secret,
    "secret-tree": secret_tree,
    "tree-validation": tree_validation,
}


def make_kinds() -> dict[str, list[Case]]:
    """Every kind, for each suite of RFC 9420."""
    return {
        name: [maker(find_suite(suite)) for suite in range(1, 8)] for name, maker in KINDS.items()
    }
