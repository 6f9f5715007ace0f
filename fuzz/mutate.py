"""Mutations of bytes, drawn from a seeded source: the same seed, the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

# What a target of ours may be given; longer inputs cost time and reach nothing new.
MAX_INPUT: Final = 8192
_MAX_STEPS: Final = 6
_EDGES: Final = (0x00, 0x01, 0x3F, 0x40, 0x7F, 0x80, 0xBF, 0xC0, 0xFF)

Mutation = Callable[[Random, bytearray, Sequence[bytes]], None]


def _span(random: Random, data: bytearray) -> slice:
    start = random.randrange(len(data) + 1)
    return slice(start, min(len(data), start + random.choice((1, 1, 2, 4, 8, 32))))


def _flip(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _edge(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] = random.choice(_EDGES)


def _fill(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    span = _span(random, data)
    data[span] = bytes((random.choice(_EDGES),)) * (span.stop - span.start)


def _integer(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    """Add a little to an integer, or set it to a bound: lengths and counters live on edges."""
    size = random.choice((1, 2, 4, 8))
    if len(data) >= size:
        at = random.randrange(len(data) - size + 1)
        value = int.from_bytes(data[at : at + size]) + random.randint(-8, 8)
        data[at : at + size] = (value % (1 << (8 * size))).to_bytes(size)


def _delete(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[_span(random, data)]


def _repeat(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    span = _span(random, data)
    data[span.start : span.start] = data[span] * random.choice((1, 2, 16))


def _insert(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = random.randrange(len(data) + 1)
    data[at:at] = random.randbytes(random.choice((1, 2, 4, 32)))


def _truncate(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[random.randrange(len(data) + 1) :]


def _splice(random: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    other = random.choice(seeds)
    data[random.randrange(len(data) + 1) :] = other[random.randrange(len(other) + 1) :]


def _random(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    data[:] = random.randbytes(random.choice((0, 1, 2, 16, 64, 256)))


_MUTATIONS: Final[tuple[Mutation, ...]] = (
    _flip,
    _flip,
    _edge,
    _fill,
    _integer,
    _integer,
    _delete,
    _repeat,
    _insert,
    _truncate,
    _splice,
)
_RARELY_RANDOM: Final = 50


def mutate(random: Random, seeds: Sequence[bytes]) -> bytes:
    """One seed after one to six mutations, or now and then plain noise."""
    data = bytearray(random.choice(seeds))
    if not random.randrange(_RARELY_RANDOM):
        _random(random, data, seeds)
    for _ in range(random.randint(1, _MAX_STEPS)):
        random.choice(_MUTATIONS)(random, data, seeds)
    return bytes(data[:MAX_INPUT])
