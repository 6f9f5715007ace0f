"""Two people register, talk, and find everything again."""

from parlour.server import Server
from parlour.wire.kinds import Kind
from parlour.wire.streams import CatchUp, CaughtUp, StreamInfo

from .people import register


async def test_two_people_talk(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    async with alice.live() as at_alice, bea.live() as at_bea:
        info = await alice.talk_to(bea)
        assert await bea.talk_to(alice) == info
        assert await at_bea.next_push() == (Kind.PUSH_STREAM, _push_of(info))
        said = await alice.say(info.stream, b"hello", bea)
        kind, push = await at_bea.next_push()
        assert kind is Kind.PUSH_ENTRY
        assert push.entry.seq == said.seq == 1
        assert push.entry.envelope.body == b"hello"
        assert push.entry.part == b"for bea"
        assert (await at_alice.next_push())[0] is Kind.PUSH_STREAM
        kind, push = await at_alice.next_push()
        assert push.entry.part is None
    caught = await bea.rest(Kind.CATCH_UP, CatchUp([]), CaughtUp)
    assert [entry.envelope.body for entry in caught.entries] == [b"hello"]


def _push_of(info: StreamInfo) -> object:
    from parlour.wire.push import PushStream

    return PushStream(info)


async def test_login_gives_another_token(server: Server) -> None:
    (alice,) = await register(server, "alice")
    again = await alice.log_in()
    assert again.token != alice.token
    assert (again.account_id, again.device_id) == (alice.account_id, alice.device_id)
    assert again.vault == b"sealed vault"
    assert again.inbox == alice.inbox
