import pytest

from parlour.cli.chat.editor import Editor, Left, Redraw, Submitted
from parlour.cli.chat.keys import Key, Typed


def typed(text: str, *keys: Key) -> Editor:
    editor = Editor()
    editor.take(Typed(text))
    for key in keys:
        editor.take(key)
    return editor


@pytest.mark.parametrize(
    ("keys", "text", "cursor"),
    [
        ((), "one two", 7),
        ((Key.BACKSPACE,), "one tw", 6),
        ((Key.HOME, Key.DELETE), "ne two", 0),
        ((Key.LEFT, Key.LEFT, Key.RIGHT), "one two", 6),
        ((Key.WORD_LEFT,), "one two", 4),
        ((Key.WORD_LEFT, Key.WORD_LEFT, Key.WORD_RIGHT), "one two", 3),
        ((Key.KILL_WORD,), "one ", 4),
        ((Key.WORD_LEFT, Key.KILL_END), "one ", 4),
        ((Key.WORD_LEFT, Key.KILL_LINE), "two", 0),
        ((Key.NEW_LINE,), "one two\n", 8),
        ((Key.HOME, Key.LEFT, Key.END, Key.RIGHT), "one two", 7),
        ((Key.HOME, Key.END_OF_INPUT), "ne two", 0),
    ],
)
def test_editing(keys: tuple[Key, ...], text: str, cursor: int) -> None:
    editor = typed("one two", *keys)
    assert (editor.text, editor.cursor) == (text, cursor)


@pytest.mark.parametrize("cluster", ["e\u0301", "👩\u200d👩", "👋🏽"])
def test_what_looks_like_one_character_goes_as_one(cluster: str) -> None:
    editor = typed("a" + cluster, Key.LEFT)
    assert editor.cursor in (1, 2 if cluster == "👋🏽" else 1)
    editor.take(Key.RIGHT)
    assert editor.cursor == len("a" + cluster)


def test_pasted_controls_are_left_out() -> None:
    assert typed("a\x1b[2Jb\tc\nd").text == "a[2Jb    c\nd"


def test_submitting_and_recalling() -> None:
    editor = Editor()
    for line in ("first", "second", "second"):
        editor.take(Typed(line))
        assert editor.take(Key.ENTER) == Submitted(line)
    editor.take(Typed("draft"))
    editor.take(Key.UP)
    assert editor.text == "second"
    editor.take(Key.UP)
    assert editor.text == "first"
    editor.take(Key.UP)
    assert editor.text == "first"
    for _ in range(3):
        editor.take(Key.DOWN)
    assert editor.text == "draft"


def test_an_empty_line_is_not_sent() -> None:
    assert typed("  ").take(Key.ENTER) is None


def test_leaving() -> None:
    assert Editor().take(Key.END_OF_INPUT) == Left(interrupted=False)
    assert Editor().take(Key.INTERRUPT) == Left(interrupted=True)
    editor = typed("thrown away")
    assert editor.take(Key.INTERRUPT) is None
    assert editor.text == ""
    assert editor.take(Key.REDRAW) == Redraw()
