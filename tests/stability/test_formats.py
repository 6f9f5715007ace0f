"""What is kept, and what devices say to each other, has one shape for each number.

Where a test fails here, something has another shape than the homes that people have. A record that
only got a field with a default is read as ever, and by older programs too: then the new digest is
enough. Anything else needs a step in `client/store/schema.py`, or another `FORMAT`, and a way to
read what there is; then a line is added, and the old ones stay.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from hashlib import sha256
from pkgutil import walk_packages
from typing import Final

from msgspec import Struct

import parlour.client
import parlour.conversation
from parlour.client.store.schema import MIGRATIONS
from parlour.conversation import inner
from parlour.conversation.inner import Inner
from parlour.roster import readding
from parlour.roster.readding import ReaddWish

# By the number of steps of the local store: what its records are.
RECORDS: Final = {2: "10456237070a6eab9b70413b5876b4e44d1b0c1bbe1211815757babe9862d86e"}
# By the number in the format: an example of it.
INNER: Final = {1: "a926612f36b40a79a9689e5a7b5d730a9703a01a36b2ddcb6609f0f1eb5d8086"}
WISHES: Final = {1: "ee7761ae45dad6f225e059592d386cf1ff97ee16cf40d0206b532f4b7447c104"}


def records() -> str:
    """Everything that is written with MessagePack, with its fields."""
    lines = []
    for package in (parlour.client, parlour.conversation):
        for found in walk_packages(package.__path__, package.__name__ + "."):
            module = importlib.import_module(found.name)
            kinds = [each for each in vars(module).values() if isinstance(each, type)]
            own = [each for each in kinds if each.__module__ == found.name]
            structs = [each for each in own if issubclass(each, Struct)]
            lines += sorted(f"{found.name}.{each.__name__} {shape(each)}" for each in structs)
    return "\n".join(lines)


def shape(kind: type[Struct]) -> str:
    config = kind.__struct_config__
    fields = [f"{name}: {kind.__annotations__[name]}" for name in kind.__struct_fields__]
    return f"array={config.array_like} tag={config.tag} {fields}"


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def test_records_have_the_shape_of_their_number() -> None:
    found = records()
    assert found.count("\n") > 50
    assert digest(found.encode()) == RECORDS[len(MIGRATIONS)], found


def test_what_is_inside_a_message_has_the_shape_of_its_number() -> None:
    said = Inner(1, 2, 3, bytes(32), b"content", (4, 5))
    assert digest(said.encode()) == INNER[inner.FORMAT]


def test_a_wish_has_the_shape_of_its_number() -> None:
    wish = ReaddWish(bytes(16), 1, 2, bytes(16), bytes(16), bytes(32), 3)
    assert digest(replace(wish, signature=bytes(64)).encode()) == WISHES[readding.FORMAT]
