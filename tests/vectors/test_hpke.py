"""RFC 9180's vectors in all four modes, and those of draft-ietf-hpke-pq that use HKDF."""

from collections import Counter
from typing import Any

import pytest

from parlour.errors import AuthenticationError
from parlour.primitives.hpke import AeadId, KdfId, KemId, Psk, Suite
from parlour.primitives.hpke.kem import KEMS
from tests.conftest import load_vector

Case = dict[str, Any]

MODE_PSK = 1
MODE_AUTH = 2
KDFS = {int(kdf) for kdf in KdfId}


def suite_of(case: Case) -> Suite:
    return Suite(KemId(case["kem_id"]), KdfId(case["kdf_id"]), AeadId(case["aead_id"]))


def field(case: Case, name: str) -> bytes:
    return bytes.fromhex(case[name])


def psk_of(case: Case) -> Psk | None:
    if case["mode"] & MODE_PSK:
        return Psk(field(case, "psk"), field(case, "psk_id"))
    return None


@pytest.mark.parametrize("kem_id", [KemId.X25519, KemId.X448, KemId.P256, KemId.P521])
@pytest.mark.parametrize("mode", [0, MODE_PSK, MODE_AUTH, MODE_AUTH | MODE_PSK])
def test_rfc_9180(kem_id: KemId, mode: int) -> None:
    count: Counter[str] = Counter()
    for case in load_vector("hpke/rfc9180-test-vectors.trimmed.json"):
        if (case["kem_id"], case["mode"]) != (kem_id, mode):
            continue
        count["cases"] += 1
        suite = suite_of(case)
        recipient = suite.kem.derive_key_pair(field(case, "ikmR"))
        assert recipient.to_bytes() == field(case, "skRm")
        assert recipient.public_key.to_bytes() == field(case, "pkRm")
        ephemeral = suite.kem.derive_key_pair(field(case, "ikmE"))
        sender = suite.kem.derive_key_pair(field(case, "ikmS")) if mode & MODE_AUTH else None
        psk = psk_of(case)

        encapsulated, sending = suite.setup_sender(
            recipient.public_key,
            info=field(case, "info"),
            psk=psk,
            sender=sender,
            random=lambda _, key=ephemeral: key.to_bytes(),  # type: ignore[misc]
        )
        assert encapsulated == field(case, "enc")
        receiving = suite.setup_recipient(
            recipient,
            encapsulated,
            info=field(case, "info"),
            psk=psk,
            sender=None if sender is None else sender.public_key,
        )
        wanted = {entry["seq"]: entry for entry in case["encryptions"]}
        for sequence in range(max(wanted, default=-1) + 1):
            entry = wanted.get(sequence, case["encryptions"][0])
            data = field(entry, "aad")
            ciphertext = sending.seal(field(entry, "pt"), data)
            if sequence in wanted:
                count["encryptions"] += 1
                assert ciphertext == field(entry, "ct")
            assert receiving.open(ciphertext, data) == field(entry, "pt")
        for entry in case["exports"]:
            count["exports"] += 1
            for context in (sending, receiving):
                value = context.export(field(entry, "exporter_context"), entry["L"])
                assert value == field(entry, "exported_value")
        if wanted:
            count["single-shot"] += 1
            first = wanted[0]
            opened = suite.open(
                recipient,
                encapsulated,
                field(first, "ct"),
                info=field(case, "info"),
                associated_data=field(first, "aad"),
                psk=psk,
                sender=None if sender is None else sender.public_key,
            )
            assert opened == field(first, "pt")
    assert count == {"cases": 8, "encryptions": 72, "exports": 24, "single-shot": 6}


def test_hpke_pq() -> None:
    """Encapsulation is not reproducible (ML-KEM draws inside the library): recipients only."""
    ran: list[KemId] = []
    left_out: Counter[str] = Counter()
    for case in load_vector("hpke/hpke-pq-test-vectors.json"):
        if case["kdf_id"] not in KDFS:
            left_out["KDF without extraction (SHAKE, TurboSHAKE)"] += 1
            continue
        if case["kem_id"] not in KEMS:
            left_out[
                {0x40: "ML-KEM-512", 0x50: "MLKEM768-P256", 0x51: "MLKEM1024-P384"}[case["kem_id"]]
            ] += 1
            continue
        suite = suite_of(case)
        recipient = suite.kem.derive_key_pair(field(case, "ikmR"))
        assert recipient.to_bytes() == field(case, "skRm")
        assert recipient.public_key.to_bytes() == field(case, "pkRm")
        context = suite.setup_recipient(recipient, field(case, "enc"), info=field(case, "info"))
        for entry in case["encryptions"]:
            opened = context.open(field(entry, "ct"), field(entry, "aad"))
            assert opened == field(entry, "pt")
        for entry in case["exports"]:
            exported = context.export(field(entry, "exporter_context"), entry["L"])
            assert exported == field(entry, "exported_value")
        with pytest.raises(AuthenticationError):
            context.open(field(case["encryptions"][0], "ct"))
        ran.append(suite.kem.kem_id)
    assert ran == [KemId.ML_KEM_768, KemId.ML_KEM_1024, KemId.X_WING]
    assert left_out == {
        "KDF without extraction (SHAKE, TurboSHAKE)": 7,
        "ML-KEM-512": 1,
        "MLKEM768-P256": 1,
        "MLKEM1024-P384": 1,
    }
