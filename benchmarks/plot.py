"""Draw records as curves: one small diagram per operation, logarithmic both ways, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from benchmarks.record import FLOOR, Record, by_place

WIDTH, HEIGHT = 260, 170
LEFT, TOP, COLUMNS = 48, 26, 3
# Readable beside each other also for who tells red from green badly.
COLOURS = ("#0b6", "#06c", "#c50", "#a3a", "#777", "#b90", "#08a", "#444")


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _diagram(records: Sequence[Record], colours: dict[str, str], x: int, y: int) -> list[str]:
    sizes, values = [r.n for r in records], [r.value for r in records]
    (left, right), (low, high) = _decades(sizes), _decades(values)

    def across(n: float) -> float:
        return x + (math.log10(n) - left) / (right - left) * WIDTH

    def up(value: float) -> float:
        return y + HEIGHT - (math.log10(value) - low) / (high - low) * HEIGHT

    head = records[0]
    lines = [
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>',
        f'<text x="{x}" y="{y - 8}" font-weight="bold">{escape(head.op)}, {head.unit}</text>',
    ]
    for power in range(left, right + 1):
        at = across(10**power)
        lines.append(f'<line x1="{at:.1f}" y1="{y}" x2="{at:.1f}" y2="{y + HEIGHT}" class="g"/>')
        lines.append(f'<text x="{at:.1f}" y="{y + HEIGHT + 13}" class="n">{10**power:,}</text>')
    for power in range(low, high + 1):
        at = up(10.0**power)
        lines.append(f'<line x1="{x}" y1="{at:.1f}" x2="{x + WIDTH}" y2="{at:.1f}" class="g"/>')
        lines.append(f'<text x="{x - 4}" y="{at + 4:.1f}" class="v">{10.0**power:g}</text>')
    for subject, colour in colours.items():
        points = sorted((r.n, r.value) for r in records if r.subject == subject)
        if not points:
            continue
        dash = ' stroke-dasharray="4 3"' if subject == FLOOR else ""
        path = " ".join(f"{across(n):.1f},{up(value):.1f}" for n, value in points)
        lines.append(f'<polyline points="{path}" stroke="{colour}"{dash} class="c"/>')
        lines += [
            f'<circle cx="{across(n):.1f}" cy="{up(value):.1f}" r="2.5" fill="{colour}"/>'
            for n, value in points
        ]
    return lines


def draw(records: Sequence[Record]) -> str:
    """All operations that were measured at more than one size."""
    drawn = [r for r in records if r.value > 0]
    ops = [
        op
        for op in dict.fromkeys(r.op for r in drawn)
        if len({r.n for r in drawn if r.op == op}) > 1
    ]
    subjects = sorted(dict.fromkeys(r.subject for r in drawn), key=by_place)
    colours = dict(zip(subjects, COLOURS * len(subjects), strict=False))
    lines = []
    for number, op in enumerate(ops):
        row, column = divmod(number, COLUMNS)
        x, y = LEFT + column * (WIDTH + 70), 2 * TOP + row * (HEIGHT + 60)
        lines += _diagram([r for r in drawn if r.op == op], colours, x, y)
    for number, (subject, colour) in enumerate(colours.items()):
        x = LEFT + number * 150
        lines.append(f'<rect x="{x}" y="6" width="14" height="6" fill="{colour}"/>')
        lines.append(f'<text x="{x + 20}" y="13">{escape(subject)}</text>')
    width = max(LEFT + COLUMNS * (WIDTH + 70), LEFT + len(colours) * 150)
    height = 2 * TOP + -(-len(ops) // COLUMNS) * (HEIGHT + 60)
    style = (
        "text{font:11px sans-serif}.g{stroke:#ddd}.c{fill:none;stroke-width:1.5}"
        ".n{text-anchor:middle}.v{text-anchor:end}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
        f'<style>{style}</style><rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(lines)
        + "\n</svg>\n"
    )


def write_plot(path: Path, records: Sequence[Record]) -> None:
    """Write the drawing."""
    path.write_text(draw(records), encoding="utf-8")
