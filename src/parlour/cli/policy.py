"""``parlour policy``: what each preset means, in words."""

from __future__ import annotations

from dataclasses import asdict
from enum import Enum
from typing import Any, Literal, TypeAlias

from cyclopts import App
from rich.text import Text

from parlour.cli.options import HomeOptions, Options
from parlour.cli.output import Output
from parlour.client.client import Client
from parlour.conversation.explaining import explain
from parlour.conversation.policies import Suite, requires_encryption
from parlour.conversation.presets import (
    ABOUT,
    DEFAULT,
    PRESET,
    PRESETS,
    check_preset,
    policy_of,
)
from parlour.roster import Kind

policy = App(name="policy", help="Show what presets mean, in words; choose one.")

KindName: TypeAlias = Literal["direct", "self", "group", "family", "channel"]


@policy.command(name="list")
def list_(*, options: Options = Options()) -> int:  # noqa: B008 - frozen
    """List the presets."""
    output = options.output()
    output.document({"presets": [_listed(name) for name in PRESETS]})
    for name in PRESETS:
        row = Text(f"{name:<14}", style="bold")
        row.append(ABOUT[name], style="not bold")
        output.text(row)
        missing = _listed(name)["not_built"]
        if missing:
            output.text(Text(f"{'':<14}not built yet: {', '.join(missing)}", style="dim"))
    return 0


@policy.command
def show(
    preset: str = DEFAULT,
    /,
    *,
    kind: KindName | None = None,
    options: Options = Options(),  # noqa: B008 - frozen
) -> int:
    """Explain a preset: who can read, for how long, what is proven to whom.

    Parameters
    ----------
    preset
        Its name; see parlour policy list.
    kind
        One kind of conversation only.
    """
    output = options.output()
    kinds = [Kind[kind.upper()]] if kind else list(Kind)
    output.document({"preset": preset, "kinds": [_described(preset, each) for each in kinds]})
    for each in kinds:
        _show(output, preset, each)
    return 0


@policy.command
async def use(
    preset: str,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Use a preset for new conversations, on all your devices. Those you have stay what they are.

    Parameters
    ----------
    preset
        Its name; see parlour policy list.
    """
    check_preset(preset)
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        await client.settings.set(PRESET, preset)
        await client.told()
    output.document({"preset": preset})
    output.text(f"✓ New conversations are what {preset} says. See parlour policy show {preset}.")
    return 0


def _show(output: Output, preset: str, kind: Kind) -> None:
    output.text(Text(f"{preset}, {kind.name.lower()}", style="bold"))
    for heading, words in explain(preset, kind).items():
        output.text(Text(f"  {heading + ':':<12}", style="cyan").append(words, style="default"))


def _listed(name: str) -> dict[str, Any]:
    missing = {
        kind.name.lower(): each.missing for kind, each in PRESETS[name].items() if each.missing
    }
    return {
        "preset": name,
        "about": ABOUT[name],
        "not_built": [f"{kind} ({what})" for kind, what in missing.items()],
    }


def _described(preset: str, kind: Kind) -> dict[str, Any]:
    found = policy_of(preset, kind)
    fields = {name: _plain(value) for name, value in asdict(found).items()}
    return {
        "kind": kind.name.lower(),
        "requires_encryption": requires_encryption(kind),
        "deniable": found.suite.is_deniable,
        "not_built": found.missing or None,
        **fields,
        "words": explain(preset, kind),
    }


def _plain(value: Any) -> Any:
    """A field of a policy as JSON has it."""
    if isinstance(value, Suite):
        return value.label
    if isinstance(value, tuple):
        return [int(each) for each in value]
    if isinstance(value, Enum):
        return value.name.lower().replace("_", "-")
    return value
