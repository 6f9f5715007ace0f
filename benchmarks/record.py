"""What every benchmark shares: records, the JSON file, the table.

A record says: this operation (`op`, at size `n`) took this `value` (a median over `runs`) in this
`unit` with this `subject`. One operation has one unit.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FLOOR = "floor"
OURS = "parlour"


@dataclass(frozen=True, slots=True)
class Record:
    bench: str
    op: str
    n: int
    subject: str
    value: float
    unit: str
    runs: int


def median_record(
    bench: str, op: str, n: int, subject: str, samples: Sequence[float], unit: str
) -> Record:
    """The record of the median of `samples`, with three digits."""
    value = float(f"{statistics.median(samples):.3g}")
    return Record(bench, op, n, subject, value, unit, len(samples))


def write_json(path: Path, records: Iterable[Record]) -> None:
    """Write the records as one list."""
    lines = ",\n".join(json.dumps(asdict(record)) for record in records)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def by_place(subject: str) -> int:
    """Ours first, then its variants, then the floor, then the peers in their order."""
    if subject == OURS:
        return 0
    return 1 if subject.startswith(f"{OURS}-") else 2 if subject == FLOOR else 3


def table(records: Sequence[Record]) -> str:
    """A row per operation, a column per subject: the median, and the ratio to ours.

    A ratio above 1 says how many times more than ours a subject takes (of a rate: gets).
    """
    subjects = sorted(dict.fromkeys(record.subject for record in records), key=by_place)
    rows = list(dict.fromkeys((record.op, record.n, record.unit) for record in records))
    found = {(record.op, record.n, record.subject): record.value for record in records}
    lines = [["operation", "n", "unit", *subjects]]
    for op, n, unit in rows:
        ours = found.get((op, n, OURS))
        cells = []
        for subject in subjects:
            value = found.get((op, n, subject))
            if value is None:
                cells.append("–")
            elif ours and subject != OURS:
                cells.append(f"{value:g} ({value / ours:.2f}×)")
            else:
                cells.append(f"{value:g}")
        lines.append([op, str(n), unit, *cells])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def report(records: Sequence[Record], absent: Sequence[str], json_file: Path | None) -> None:
    """Print the table and who is absent; write the JSON file if one is named."""
    sys.stdout.write(table(records) + "\n")
    for reason in absent:
        sys.stdout.write(f"absent: {reason}\n")
    if json_file is not None:
        write_json(json_file, records)
