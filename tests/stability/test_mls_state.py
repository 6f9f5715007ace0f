"""Records of groups as earlier versions wrote them still load, and the groups go on.

`python -m tests.stability.test_mls_state` writes a record for a new version. A record that is there
is never written again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from parlour.mls import (
    ApplicationMessage,
    ExternalPsk,
    GroupRecords,
    KeyPackageBundle,
    PskStore,
    StagedCommit,
)
from parlour.mls.private.records import VERSION as PARTS_VERSION
from parlour.mls.private.secrets import ResumptionPsk
from parlour.mls.private.storage import VERSION, dump_group, load_group
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId, ResumptionPskId
from parlour.mls.public.types import ResumptionPskUsage
from parlour.testing.mls import OPEN_POLICY
from tests.mls_people import NOW, Person, group_of, merge_everywhere, refresh

FOLDER = Path(__file__).parent / "mls"


def make_parts() -> dict[str, Any]:
    """The same in many small records."""
    content = make()
    group = load_group(bytes.fromhex(content["group"]), OPEN_POLICY)
    parts = GroupRecords(group).take_changes()
    content["group"] = {key.hex(): (data or b"").hex() for key, data in sorted(parts.items())}
    return {**content, "version": PARTS_VERSION}


def make() -> dict[str, Any]:
    """Bea, with past epochs, skipped keys, a pending commit and an update that nobody committed."""
    ada, bea, cid = group_of("ada", "bea", "cid")
    past = ada.group.encrypt(b"past", random=ada.random)
    refresh([ada, bea, cid])
    late = [ada.group.encrypt(str(n).encode(), random=ada.random) for n in range(3)]
    bea.group.decrypt(late[2], NOW)
    bea.group.precompute(2)
    bundle = Person("dan").key_package()
    update = bea.group.propose_update(NOW, random=bea.random)
    pending = bea.group.commit(NOW, adds=[bundle.key_package], random=bea.random)
    for person in (ada, cid):
        person.group.process(update, NOW)
    winner = ada.group.commit(NOW, random=ada.random)
    record = dump_group(bea.group)
    merge_everywhere(ada, winner, [cid])
    return {
        "version": VERSION,
        "group": record.hex(),
        "authenticator": bea.group.epoch_authenticator.reveal().hex(),
        "past": past.hex(),
        "late": late[0].hex(),
        "pending": pending.commit.hex(),
        "winner": winner.commit.hex(),
        "authenticator_after": ada.group.epoch_authenticator.reveal().hex(),
        "key_package": bundle.to_bytes().hex(),
    }


RECORDS = sorted([*FOLDER.glob("group_v*.json"), *FOLDER.glob("parts_v*.json")])
KEYS = sorted(FOLDER.glob("psks_v*.json"))


def make_keys() -> dict[str, Any]:
    """A store with an external key, and the resumption keys of two epochs."""
    psks = PskStore()
    psks.add_external(b"id", ExternalPsk(b"external"))
    psks.add_resumption(b"group", 7, ResumptionPsk(b"seven"))
    psks.add_resumption(b"group", 8, ResumptionPsk(b"eight"))
    return {"version": 1, "psks": psks.to_bytes().hex()}


@pytest.mark.parametrize("file", KEYS, ids=lambda file: file.stem)
def test_stored_keys_load(file: Path) -> None:
    record = json.loads(file.read_text(encoding="utf-8"))
    psks = PskStore.from_bytes(bytes.fromhex(record["psks"]))

    def find(key: ExternalPskId | ResumptionPskId) -> bytes | None:
        found = psks.find(PreSharedKeyId(key, b""))
        return None if found is None else found.reveal()

    use = ResumptionPskUsage.APPLICATION
    assert find(ExternalPskId(b"id")) == b"external"
    assert find(ResumptionPskId(use, b"group", 7)) == b"seven"
    assert find(ResumptionPskId(use, b"group", 8)) == b"eight"
    assert find(ResumptionPskId(use, b"group", 9)) is None


def test_this_version_has_a_record() -> None:
    assert FOLDER / f"group_v{VERSION}.json" in RECORDS
    assert FOLDER / f"parts_v{PARTS_VERSION}.json" in RECORDS
    assert FOLDER / f"psks_v{make_keys()['version']}.json" in KEYS


@pytest.mark.parametrize("file", RECORDS, ids=lambda file: file.stem)
def test_a_record_loads_and_the_group_goes_on(file: Path) -> None:
    record = json.loads(file.read_text(encoding="utf-8"))
    psks = PskStore()
    psks.add_external(b"unused", ExternalPsk(b"k"))
    stored = record["group"]
    if isinstance(stored, str):
        group = load_group(bytes.fromhex(stored), OPEN_POLICY, psks=psks)
    else:
        parts = {bytes.fromhex(key): bytes.fromhex(data) for key, data in stored.items()}
        group = GroupRecords.load(parts, OPEN_POLICY, psks=psks).group
    assert group.epoch_authenticator.reveal().hex() == record["authenticator"]
    for name in ("past", "late"):
        assert isinstance(group.receive(bytes.fromhex(record[name]), NOW), ApplicationMessage)
    assert group.pending is not None
    assert group.pending.commit.hex() == record["pending"]
    assert isinstance(group.process(bytes.fromhex(record["winner"]), NOW), StagedCommit)
    assert group.epoch_authenticator.reveal().hex() == record["authenticator_after"]
    bundle = KeyPackageBundle.from_bytes(bytes.fromhex(record["key_package"]))
    assert bundle.to_bytes().hex() == record["key_package"]


if __name__ == "__main__":
    for name, maker in (("group", make), ("parts", make_parts), ("psks", make_keys)):
        content = maker()
        target = FOLDER / f"{name}_v{content['version']}.json"
        if not target.exists():
            target.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
