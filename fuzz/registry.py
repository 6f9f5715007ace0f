"""Find the targets: the modules of `fuzz.targets`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import fuzz.targets


@dataclass(frozen=True, slots=True)
class Target:
    """One decoder under attack."""

    name: str
    run: Callable[[bytes], object]
    seeds: Sequence[bytes]


def names() -> list[str]:
    """Every registered target, sorted. Nothing is imported for it."""
    return sorted(module.name for module in pkgutil.iter_modules(fuzz.targets.__path__))


def load(name: str) -> Target:
    """Import one target."""
    module = importlib.import_module(f"fuzz.targets.{name}")
    return Target(name, module.target, list(module.SEEDS))
