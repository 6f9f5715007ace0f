import pytest
from hypothesis import given
from hypothesis import strategies as st

from parlour.cli.chat.keys import Input, Key, KeyReader, Typed


def read(*pieces: bytes) -> list[Input]:
    reader = KeyReader()
    return [key for piece in pieces for key in reader.feed(piece)]


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        ("hé".encode(), [Typed("hé")]),
        (b"a\r", [Typed("a"), Key.ENTER]),
        (b"\x1b[A\x1bOB", [Key.UP, Key.DOWN]),
        (b"\x1b[1;5C\x1b\r", [Key.WORD_RIGHT, Key.NEW_LINE]),
        (b"\x1b[3~\x7f", [Key.DELETE, Key.BACKSPACE]),
        (b"\x1b[38;5;1zx", [Typed("x")]),
        (b"\x1b[99999999999999999999999999999999999999", []),
        (b"\t\x00\x1a", [Typed("\t")]),
        (b"\x1b[200~one\r\ntwo\x1b[A\x1b[201~x", [Typed("one\ntwo\x1b[A"), Typed("x")]),
        (b"\x03\x04", [Key.INTERRUPT, Key.END_OF_INPUT]),
    ],
)
def test_keys(data: bytes, keys: list[Input]) -> None:
    assert read(data) == keys


@given(st.lists(st.sampled_from(["é", "\x1b[A", "\x1b[1;5D", "\r", "\x1b[200~x\ny\x1b[201~"])))
def test_pieces_give_the_same_keys(keys: list[str]) -> None:
    data = "".join(keys).encode()
    together = [key for key in read(data) if not isinstance(key, Typed)]
    apart = [key for key in read(*(bytes([byte]) for byte in data)) if not isinstance(key, Typed)]
    assert together == apart


@given(st.binary())
def test_any_bytes(data: bytes) -> None:
    for key in read(data):
        assert isinstance(key, (Key, Typed))
