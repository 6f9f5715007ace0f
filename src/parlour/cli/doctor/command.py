"""``parlour doctor``."""

from __future__ import annotations

from rich.text import Text

from parlour.cli.doctor.checks import Finding, examine
from parlour.cli.doctor.round_trip import round_trip
from parlour.cli.options import HomeOptions
from parlour.cli.output import Output
from parlour.cli.safe_text import one_line
from parlour.errors import ExitCode


async def doctor(*, options: HomeOptions = HomeOptions()) -> int:  # noqa: B008 - frozen
    """Check your home, your server and the way between, and say what to do.

    One line for each check. The exit code is that of the first one that failed, or 0.
    """
    output = options.output()
    found: list[Finding] = []
    async for finding in examine(options.folder(), options.password, round_trip):
        found.append(finding)
        _show(output, finding)
    failed = [finding for finding in found if not finding.ok]
    if failed:
        output.text(f"\n{len(failed)} of {len(found)} checks failed.")
        return int(failed[0].exit_code)
    output.text(f"\nAll {len(found)} checks passed.")
    return int(ExitCode.FINE)


def _show(output: Output, finding: Finding) -> None:
    output.document(
        {
            "check": finding.check,
            "ok": finding.ok,
            "text": finding.text,
            "remedy": finding.remedy or None,
            "code": finding.code.value if finding.code else None,
        }
    )
    sign, style = ("✓", "green") if finding.ok else ("✗", "bold red")
    row = Text(f"{sign} ", style=style).append(one_line(finding.text), style="default not bold")
    if finding.code is not None:
        row.append(f" [{finding.code.value}]", style="dim")
    output.text(row)
    if finding.remedy:
        output.text(f"  {one_line(finding.remedy)}")
