"""Processes that are killed: between any two steps of a client, and a server while it stores."""

from dataclasses import replace
from pathlib import Path

import pytest

from parlour.client.recovery import place_at, recover
from parlour.identity.passphrase import Passphrase
from tests.entries import signed_once
from tests.integration.kill_runs import STRIDE, posix, run_steps
from tests.integration.kill_steps import PAPER, PASSPHRASE, SAID
from tests.town import PASSWORD, Town, cheap_homes, quick_passwords

SCRIPT = Path(__file__).with_name("kill_steps.py")


def once_in_order(found: list[str], whole: list[str]) -> bool:
    """Whether `found` is some of `whole`, each once and in its order."""
    return found == [text for text in whole if text in found]


@posix
@pytest.mark.timeout(300)
async def test_a_client_killed_between_any_two_steps_of_sending_loses_nothing(
    town: Town, tmp_path: Path
) -> None:
    runs = await run_steps(SCRIPT, "send", town, tmp_path / "runs", 1)
    assert len(runs) * STRIDE > 30
    assert not runs[-1]["killed"]
    for run in runs:
        from_alice = [text for text in run["alice"] if text != "end"]
        # What `send` returned for is there; one more may be, which the kill kept from returning.
        assert from_alice[: len(run["returned"])] == run["returned"], run
        assert once_in_order(from_alice, SAID), run
        assert len(from_alice) <= len(run["returned"]) + 1, run
        # Bob got each once, in order, and was shown each once.
        assert [text for text in run["bob"] if text != "end"] == from_alice, run
        assert run["bob"] == run["alice"], run
        assert run["unread"]["bob"] == [*from_alice, "end"], run
        assert run["encrypted"] == run["different"] > 0, run
    assert runs[-1]["returned"] == SAID


@posix
@pytest.mark.timeout(300)
async def test_a_client_killed_between_any_two_steps_of_receiving_loses_nothing(
    town: Town, tmp_path: Path
) -> None:
    runs = await run_steps(SCRIPT, "receive", town, tmp_path / "runs", 1)
    assert len(runs) * STRIDE > 20
    assert not runs[-1]["killed"]
    for run in runs:
        assert [text for text in run["bob"] if text in SAID] == SAID, run
        assert run["bob"] == run["alice"], run
        assert run["bob"].count("thanks") <= 1, run
        # Every text was handed out; what was being handled when the kill came, once more.
        handed = [*run["shown"], *(text for text in run["unread"]["bob"] if text != "end")]
        assert sorted(set(handed)) == sorted(SAID), run
        again = len(handed) - len(SAID)
        assert again in (0, 1) or not run["killed"] or again <= len(run["shown"]), run
        assert run["encrypted"] == run["different"] > 0, run


@posix
@pytest.mark.timeout(300)
async def test_a_registration_killed_between_any_two_steps_is_finished_by_the_next_try(
    town: Town, tmp_path: Path
) -> None:
    runs = await run_steps(SCRIPT, "register", town, tmp_path / "runs", 1)
    assert len(runs) * STRIDE > 8
    assert not runs[-1]["killed"]
    for run in runs:
        assert run["alice"] == ["hello"], run


@posix
@pytest.mark.timeout(300)
async def test_a_server_killed_while_it_stores_loses_nothing_that_it_acknowledged(
    town: Town, tmp_path: Path
) -> None:
    runs = await run_steps(SCRIPT, "server", town, tmp_path / "runs", 2)
    assert len(runs) * STRIDE > 10
    said = {name: [f"{name} {number}" for number in range(4)] for name in ("alice", "bob")}
    for run in runs:
        assert run["bob"] == run["alice"], run
        for texts in said.values():
            assert [text for text in run["alice"] if text in texts] == texts, run
        assert set(run["returned"]) <= set(run["alice"]), run
        assert len(run["returned"]) == len(set(run["returned"])), run
        assert run["encrypted"] == run["different"] > 0, run


async def found_dora(town: Town, password: str | Passphrase = PASSWORD) -> None:
    """Dora registers with a recovery key; her password is stretched cheaply from now on."""
    lone = isinstance(password, Passphrase)
    async with replace(town, lone_vaults="yes").serving():
        with quick_passwords():
            await town.register("dora", password=password, lone=lone, recovery=PAPER)


@posix
@pytest.mark.timeout(300)
async def test_a_change_of_password_killed_between_any_two_steps_is_finished_by_the_same_call(
    town: Town, tmp_path: Path
) -> None:
    await found_dora(town)
    runs = await run_steps(SCRIPT, "password", town, tmp_path / "runs", 1)
    assert len(runs) * STRIDE > 20
    assert not runs[-1]["killed"]
    for run in runs:
        assert run["alice"] == ["hello"], run
        assert run["devices"] == [1, 1], run
        assert run["vaults"] == 1, run


@posix
@pytest.mark.timeout(300)
async def test_a_recovery_killed_between_any_two_steps_is_finished_by_the_same_call(
    town: Town, tmp_path: Path
) -> None:
    await found_dora(town)
    runs = await run_steps(SCRIPT, "recover", town, tmp_path / "runs", 2)
    assert len(runs) * STRIDE > 12
    assert not runs[-1]["killed"]
    for run in runs:
        assert run["alice"] == ["hello"], run
        assert run["devices"] == [1, 1], run
        assert run["vaults"] == 1, run
        # What left before the kill may be in a server's hands, whatever it showed of it.
        assert signed_once(run["entries"]), run


@posix
@pytest.mark.timeout(300)
async def test_a_theft_killed_between_any_two_steps_is_finished_by_the_same_call(
    town: Town, tmp_path: Path
) -> None:
    await found_dora(town)
    async with town.serving():
        with quick_passwords(), cheap_homes():
            place = place_at(f"127.0.0.1:{town.port}")
            await recover(town.home("stolen"), place, "dora", PAPER, PASSWORD)
    runs = await run_steps(SCRIPT, "theft", town, tmp_path / "runs", 1)
    assert len(runs) * STRIDE > 20
    assert not runs[-1]["killed"]
    for run in runs:
        assert run["alice"] == ["hello"], run
        assert run["devices"] == [1, 1], run
        assert run["vaults"] == 2, run
        assert signed_once(run["entries"]), run


@posix
@pytest.mark.timeout(300)
async def test_a_join_by_passphrase_killed_between_any_two_steps_is_finished_by_the_same_call(
    town: Town, tmp_path: Path
) -> None:
    await found_dora(town, Passphrase(tuple(PASSPHRASE.split())))
    runs = await run_steps(SCRIPT, "join", town, tmp_path / "runs", 2)
    assert len(runs) * STRIDE > 12
    assert not runs[-1]["killed"]
    for run in runs:
        assert run["alice"] == ["hello"], run
        assert run["devices"] == [2, 2], run
        assert run["vaults"] == 0, run
        assert signed_once(run["entries"]), run
