"""Tables of keys that many trees share."""

from __future__ import annotations

import random

from parlour.mls.public.tree.index import _MAX_CHANGES, KeyTable


def test_a_copy_changes_by_itself() -> None:
    table = KeyTable()
    assert table.put(b"a", 1) == 1
    copy = table.copy()
    copy.remove(b"a")
    copy.put(b"b", 2)
    assert (table.get(b"a"), table.get(b"b")) == (1, None)
    assert (copy.get(b"a"), copy.get(b"b")) == (None, 2)
    assert copy.put(b"a", 3) == 3
    assert table.put(b"a", 3) == 1


def test_tables_answer_like_dictionaries_however_often_they_are_merged() -> None:
    choose = random.Random(7)
    keys = [bytes((n % 256, n // 256)) for n in range(2 * _MAX_CHANGES)]
    table, expected = KeyTable(), dict[bytes, int]()
    kept: list[tuple[KeyTable, dict[bytes, int]]] = []
    for turn in range(20 * _MAX_CHANGES):
        key = choose.choice(keys)
        if key in expected and choose.random() < 0.4:
            del expected[key]
            table.remove(key)
        else:
            assert table.put(key, turn) == expected.setdefault(key, turn)
        if turn % (_MAX_CHANGES // 2) == 0:
            kept.append((table, expected))
            table, expected = table.copy(), expected.copy()
    for old, answers in [*kept, (table, expected)]:
        assert [old.get(key) for key in keys] == [answers.get(key) for key in keys]
