"""Handshakes, messages and answers about a group to a running machine: it stays well, and in order.

Bob follows the group; dave is about to come in. The first byte says what the rest is, and whether
it arrives as it is or from mallory, who signs it. Then time passes, and the server answers as ever.
Whatever came, nobody is in the group whom nobody who may has let in, and nobody has a higher role.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from fuzz.groups.mallory import MESSAGE_ID, Mallory
from fuzz.groups.members import Members, futures_of
from fuzz.groups.running import Run
from parlour.conversation import content as contents
from parlour.conversation.inner import Inner
from parlour.mls.public.commit import Commit
from parlour.mls.public.framing.messages import PublicMessage, decode_message
from parlour.mls.public.proposals import encode_proposal
from parlour.wire import groups as wire
from parlour.wire.body import Body
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.frames import decode_body, encode_body
from parlour.wire.kinds import Kind
from parlour.wire.push import PushStream
from parlour.wire.streams import Entry, StreamInfo

_MEMBERS: Final = Members()
_GROUP: Final = _MEMBERS.group
_FUTURES: Final = futures_of(_MEMBERS)
_COMING: Final = _FUTURES.coming
_MALLORY: Final = Mallory(_MEMBERS)
_NOW: Final = _MEMBERS.begins_at
_NEXT: Final = _MEMBERS.begins_after + 1

# What arrives as it is.
_ENTRY, _WELCOME, _STREAM, _CONTROL = b"e", b"d", b"n", b"i"
# What mallory signs and seals.
_FORGED: Final[dict[bytes, tuple[SuiteId, Callable[[bytes], bytes]]]] = {
    b"c": (SuiteId.MLS_COMMIT, _MALLORY.commit),
    b"p": (SuiteId.MLS_PROPOSAL, _MALLORY.proposal),
    b"t": (SuiteId.MLS_RESTART, _MALLORY.restart),
    b"m": (SuiteId.MLS_MESSAGE, _MALLORY.message),
}
# What the server answers: to bob where its data is from a backup, to dave, to bob who adds dave.
_RESTORED, _NEWCOMER = b"s", b"S"
_ANSWERS: Final[dict[bytes, tuple[Kind, type[Body]]]] = {
    _RESTORED: (Kind.READ_GROUP, wire.GroupState),
    _NEWCOMER: (Kind.READ_GROUP, wire.GroupState),
    b"k": (Kind.FETCH_KEY_PACKAGES, wire.FoundKeyPackages),
    b"h": (Kind.HANDSHAKE, wire.Handled),
    b"l": (Kind.READ_DEVICE_LISTS, wire.DeviceListPages),
    b"L": (Kind.READ_LIST_HEADS, wire.ListHeads),
}


# --- Seeds -----------------------------------------------------------------------------------


def _opened(entry: Entry) -> bytes:
    """A commit or proposal with its content in the place of the message, for mallory to sign."""
    if entry.envelope.suite == SuiteId.MLS_PROPOSAL:
        proposal = wire.decode_body(entry.envelope.body, wire.ProposalBody)
        content = _public(proposal.proposal).content.body
        assert not isinstance(content, Commit | bytes)
        return b"p" + wire.encode_body(replace(proposal, proposal=encode_proposal(content)))
    commit = wire.decode_body(entry.envelope.body, wire.CommitBody)
    content_of_commit = _public(commit.commit).content.encoded_body
    return b"c" + wire.encode_body(replace(commit, commit=content_of_commit))


def _public(data: bytes) -> PublicMessage:
    message = decode_message(data)
    assert isinstance(message, PublicMessage)
    return message


def _handshakes() -> list[bytes]:
    """What may come next, as it is and from mallory."""
    following = [history[0] for history in _FUTURES.well]
    trouble = [replace(entry, seq=_NEXT) for entry in _FUTURES.trouble]
    begun = [each for each in trouble if each.envelope.suite == SuiteId.MLS_RESTART]
    return [
        *(_ENTRY + encode_body(entry) for entry in (*following, *trouble[:6])),
        *map(_opened, following),
        *(b"t" + entry.envelope.body for entry in begun),
        _WELCOME + encode_body(_COMING.entry),
        _STREAM + encode_body(_COMING.stream),
    ]


def _inner(content: contents.Content, counter: int) -> bytes:
    after = (0, _MEMBERS.chat("mallory").epoch)
    return Inner(counter, _NOW, 0, b"", contents.encode(content), after).encode()


def _sayings() -> list[bytes]:
    """What mallory says in the group, and alice's device beside it."""
    chat = _MEMBERS.chat("carol")
    wish, package = _MEMBERS.devices["carol"].machine._groups._ladder._wish(chat, _NOW, _NOW)
    tag = chat.record.tags[-1]
    seen = contents.EpochSeen(_GROUP, tag.generation, tag.epoch, tag.tag, answer=True)
    return [
        b"m" + _inner(contents.Text("hello"), 1),
        b"m" + _inner(contents.GroupDetails("Friends", bytes(16)), 0),
        b"m" + _inner(contents.DetailsWanted(), 0),
        b"m" + _inner(contents.CommitBroken(0, chat.epoch, 1, "group.gap", wish, package), 0),
        _CONTROL + contents.encode(contents.ReaddWanted(wish, package)),
        _CONTROL + contents.encode(seen),
    ]


def _answers() -> list[bytes]:
    """What the server says when it is asked."""
    bob, server = _MEMBERS.bob.machine.device_id, _MEMBERS.server
    accounts = list(_MEMBERS.accounts.values())
    lists = wire.ReadDeviceLists([wire.KnownList(account, 0) for account in accounts])
    package = _MEMBERS.key_package_of(_MEMBERS.devices["dave"].machine.device_id)
    lost = wire.Handled(_GROUP, bytes(16), 0, 0, False, 0, 0, _FUTURES.well[0])
    return [
        _RESTORED + encode_body(server.groups.read(wire.ReadGroup(_GROUP))),
        _NEWCOMER + encode_body(_COMING.state),
        b"k" + encode_body(wire.FoundKeyPackages([package], 1)),
        b"h" + encode_body(lost),
        b"l" + encode_body(server._answer(bob, Kind.READ_DEVICE_LISTS, lists)),
        b"L" + encode_body(server._answer(bob, Kind.READ_LIST_HEADS, wire.ReadListHeads(accounts))),
    ]


SEEDS: Final = [*_handshakes(), *_sayings(), *_answers()]


# --- The target ------------------------------------------------------------------------------


def target(data: bytes) -> None:
    kind, rest = data[:1], data[1:]
    # What can't be decoded costs no machine.
    if kind in _FORGED:
        suite, forge = _FORGED[kind]
        run = _shown(_of_mallory(suite, forge(rest)))
    elif kind in _ANSWERS:
        asked, body = _ANSWERS[kind]
        run = _asking(kind, asked, decode_body(rest, body))
    elif kind == _WELCOME:
        entry = decode_body(rest, Entry)
        run = Run.of_newcomer(_MEMBERS, _COMING, {})
        run.push(entry)
    elif kind == _STREAM:
        info = decode_body(rest, StreamInfo)
        run = Run(_MEMBERS, "bob", {})
        run.machine.pushed(PushStream(info), run.now)
    elif kind == _CONTROL:
        control = contents.decode(rest)
        run = Run(_MEMBERS, "bob", {})
        alice = run.machine.contacts[_MEMBERS.accounts["alice"]].identities()[0]
        run.machine._groups.controlled(alice, control, run.now)
    else:
        run = _shown(decode_body(rest, Entry))
    run.go_on()
    # Mallory may put members out, and bring nobody in.
    run.check(without=["dave"] if kind in _FORGED else [])


def _of_mallory(suite: SuiteId, body: bytes) -> Entry:
    who = (_MALLORY.account_id, _MALLORY.device_id, MESSAGE_ID)
    envelope = Envelope(ENVELOPE_FORMAT, suite, b"", body)
    return Entry(_GROUP, _NEXT, *who, _NOW, None, envelope, None)


def _shown(entry: Entry) -> Run:
    """Bob is shown an entry."""
    run = Run(_MEMBERS, "bob", {})
    run.push(entry)
    return run


def _asking(kind: bytes, asked: Kind, answer: Body) -> Run:
    """Somebody wants to know what is answered."""
    if kind == _NEWCOMER:
        run = Run.of_newcomer(_MEMBERS, _COMING, {asked: answer})
        run.push(_COMING.entry)
        return run
    run = Run(_MEMBERS, "bob", {asked: answer}, restored=kind == _RESTORED)
    if kind != _RESTORED:
        run.machine.group_add(_GROUP, [_MEMBERS.accounts["dave"]], run.now)
    return run
