"""The oracle can fail: what is broken on purpose is found within a few seeds."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from parlour.client.store import messages
from parlour.conversation import state
from parlour.conversation.changes import Namespace, PutMessage
from parlour.conversation.machine import Machine
from parlour.conversation.receiving import Receiving
from parlour.conversation.records import all_of
from parlour.conversation.syncing import Syncing
from parlour.server.store.sqlite import entries, pages
from parlour.server.store.sqlite.rows import find_repeat
from parlour.testing.simulation import chronicle, forks, lies, secrecy
from parlour.testing.simulation.run import run
from parlour.testing.simulation.world import World
from parlour.wire.streams import CaughtUp, Entry, Page

SEEDS = (0, 1, 2)
STEPS = 40


def _problems(kind: str = "pairwise", steps: int = STEPS) -> str:
    """What is found until something is."""
    for seed in SEEDS:
        problems = run(seed, kind, steps).problems
        if problems:
            return "\n".join(problems)
    return ""


def _drop_some(old: Callable[..., None]) -> Callable[..., None]:
    """A machine that takes no notice of an entry now and then, and says nothing."""

    def receive(self: Receiving, entry: Entry, now: int, *, paged: bool) -> None:
        conversation = self._memory.conversation_of_stream(entry.stream)
        if conversation is not None and entry.seq % 7 == 3 and entry.seq > conversation.received:
            conversation.received = max(conversation.received, entry.seq)
            return
        old(self, entry, now, paged=paged)

    return receive


def test_a_machine_that_drops_entries_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Receiving, "receive", _drop_some(Receiving.receive))
    assert " lost " in _problems()


def test_a_machine_that_forgets_what_it_wrote_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    old = Machine.changes

    def changes(self: Machine) -> list[Any]:
        kept = old(self)
        for change in kept:
            if isinstance(change, PutMessage) and (change.message.seq or 0) % 5 == 4:
                kept.remove(change)
        return kept

    monkeypatch.setattr(Machine, "changes", changes)
    assert "lost" in _problems()


def test_a_server_that_skips_numbers_in_pages_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    old_read, old_catch_up = pages.read, pages.catch_up

    def without_some(found: list[Entry]) -> list[Entry]:
        return [entry for entry in found if entry.seq % 4]

    def read(*arguments: Any) -> Page:
        page = old_read(*arguments)
        return Page(without_some(page.entries), page.more)

    def catch_up(*arguments: Any) -> CaughtUp:
        page = old_catch_up(*arguments)
        return CaughtUp(page.streams, without_some(page.entries), page.more)

    monkeypatch.setattr(pages, "read", read)
    monkeypatch.setattr(pages, "catch_up", catch_up)
    assert "lost" in _problems()


def test_a_server_that_gives_one_number_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    old = find_repeat

    def forget_some(connection: Any, sender: Any, stream: int, client_id: bytes) -> Any:
        earlier = old(connection, sender, stream, client_id)
        last, device = connection.execute(
            "SELECT last_seq, device FROM streams WHERE pk = ?", (stream,)
        ).fetchone()
        if earlier is None and device is None and last % 6 == 5:
            # Acknowledged, and kept nowhere.
            return last + 1, 1_800_000_000_000
        return earlier

    monkeypatch.setattr(entries, "find_repeat", forget_some)
    assert "never got a number" in _problems()


def test_a_store_that_hands_messages_out_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "mark_delivered", lambda connection, delivered: None)
    assert "twice" in _problems()


def test_a_device_that_forgets_its_outbox_when_it_starts_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = all_of

    def without_outbox(records: Any, namespace: Namespace, kind: Any) -> Any:
        return {} if namespace is Namespace.OUTBOX else old(records, namespace, kind)

    monkeypatch.setattr(state, "all_of", without_outbox)
    assert "never got a number" in _problems(steps=200)


def test_a_device_that_hands_out_what_it_may_not_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody had a leaf, and nobody was a member, as far as the server's disk says."""
    monkeypatch.setattr(chronicle, "leaves_of", lambda connection, pk: frozenset())
    monkeypatch.setattr(secrecy, "_may_have", lambda world, node, spoken: False)
    assert "which was said without it" in _problems("groups")


def test_keys_that_open_what_was_said_without_a_device_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The keys of members, before they have read it, taken for those of others."""
    found: list[str] = []
    old = World._absorb

    def absorb(self: World, *arguments: Any) -> None:
        known = len(self.chronicle.spoken)
        old(self, *arguments)
        if len(self.chronicle.spoken) > known and not found:
            readers, self.chronicle.readers = self.chronicle.readers, defaultdict(frozenset)
            found.extend(each for each in secrecy.trespasses(self) if "can read" in each)
            self.chronicle.readers = readers

    monkeypatch.setattr(World, "_absorb", absorb)
    run(8, "groups", STEPS)
    assert found


def test_devices_that_do_not_hear_what_was_chosen_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Syncing, "_take_setting", lambda self, sync, now: None)
    assert "settings of their own" in _problems("groups", 200)


def test_two_histories_of_which_nobody_is_told_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(lies.NAMES, "fork", frozenset())
    monkeypatch.setattr(forks, "_NAMES", frozenset())
    assert "nobody is told" in "\n".join(run(11, "pairwise", 60).problems)
