import pytest
from hypothesis import given
from hypothesis import strategies as st

from parlour.cli.safe_text import lines, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, Grüße, 你好 👩‍👩‍👧", "plain, Grüße, 你好 👩‍👩‍👧"),
        ("\x1b[2J", "␛[2J"),
        ("\x9b2J", "\ufffd2J"),
        ("a\rb", "a␍b"),
        ("a\x7fb", "a␡b"),
        ("a\tb", "a    b"),
        ("user\u202egnp.exe", "user\ufffdgnp.exe"),
        ("a\u2028b\ud800", "a\ufffdb\ufffd"),
        ("two\nlines", "two⏎lines"),
    ],
)
def test_one_line(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_lines() -> None:
    assert lines("one\r\ntwo\n") == ["one", "two", ""]
    assert lines("") == [""]


@given(st.text())
def test_nothing_moves_the_cursor(text: str) -> None:
    for character in one_line(text):
        assert character >= " "
        assert not "\x7f" <= character <= "\x9f"
