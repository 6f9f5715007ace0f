from parlour.conversation.changes import Message, MessageState, Namespace, PutRecord
from parlour.conversation.reasons import TREATMENTS, Reason, Repair


def test_reprs_tell_nothing() -> None:
    assert (
        repr(PutRecord(Namespace.DEVICE, b"\x01", b"private")) == "PutRecord(device, 01, [secret])"
    )
    message = Message(b"c", b"\x02", b"a", b"d", 7, 1, 2, MessageState.SENT, b"private")
    assert repr(message) == "Message(id=02, seq=7, state=sent)"
    assert message.key == (b"c", b"d", b"\x02")


def test_every_reason_has_a_sentence_a_repair_and_a_deadline() -> None:
    assert set(TREATMENTS) == set(Reason)
    assert len({treatment.sentence for treatment in TREATMENTS.values()}) == len(Reason)
    for treatment in TREATMENTS.values():
        assert (treatment.repair is Repair.NONE) == (treatment.deadline == 0)
