"""Groups that do not follow what comes: as where a commit is broken in private."""

from __future__ import annotations

from typing import Any

from parlour.errors import Code, ParlourError, error
from parlour.mls.public.framing.messages import PublicMessage
from parlour.testing.device import MemoryDevice
from tests.scenario.parties import Party, chat_of


class Refusing:
    """A group whose `receive` a test decides about."""

    def __init__(self, group: object, receive: object) -> None:
        self._group = group
        self.receive = receive

    def __getattr__(self, name: str) -> object:
        return getattr(self._group, name)


def refuse_commits(party: Party, *devices: MemoryDevice, problem: ParlourError) -> None:
    """These devices can't follow the next handshakes of others, for that reason."""
    for device in devices:
        group = chat_of(device, party).live()

        def receive(message: Any, now: int, run: object = map, group: Any = group) -> object:
            if isinstance(message, PublicMessage):
                raise problem
            return group.receive(message, now)

        refusing = Refusing(group, receive)
        chat_of(device, party)._records.group = refusing  # type: ignore[union-attr]


def can_not_read(party: Party, *devices: MemoryDevice) -> None:
    """These devices can't open the path secrets of the next commit of somebody else."""
    problem = error(Code.CRYPTO_TAG, "a path secret that can't be opened")
    refuse_commits(party, *devices, problem=problem)
