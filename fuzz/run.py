"""The command: fuzz some targets or all, show what happens, leave a record.

python -m fuzz.run NAME... --seconds 60
python -m fuzz.run --all --seconds 60 --json docs/evidence/fuzz.json
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from fuzz import evidence, guided, loop, registry


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME", help="targets; see --list")
    parser.add_argument("--all", action="store_true", help="every target, one after the other")
    parser.add_argument("--list", action="store_true", help="print the targets' names and end")
    parser.add_argument("--seconds", type=float, default=30, help="for each target (30)")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations (0)")
    parser.add_argument("--engine", choices=("auto", "atheris", "loop"), default="auto")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write a record of the run")
    arguments = parser.parse_args(argv)
    known = registry.names()
    unknown = set(arguments.names) - set(known)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if arguments.all:
        arguments.names = known
    if not arguments.names and not arguments.list:
        parser.error("name a target, or say --all")
    if arguments.engine == "atheris" and not guided.available():
        parser.error("atheris is not installed")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run; 0 is fine, 1 is a finding."""
    arguments = _arguments(argv)
    if arguments.list:
        print("\n".join(registry.names()))
        return 0
    use_atheris = arguments.engine != "loop" and guided.available()
    results: list[evidence.Result] = []
    for number, name in enumerate(arguments.names, 1):
        print(f"[{number}/{len(arguments.names)}] {name} …", end="\r", flush=True)
        target = registry.load(name)
        if use_atheris:
            result = guided.run(target, seed=arguments.seed, seconds=arguments.seconds)
        else:
            result = loop.run(target, seed=arguments.seed, seconds=arguments.seconds)
        results.append(result)
        print(f"[{number}/{len(arguments.names)}] {result.line()}", flush=True)
        for finding in result.findings:
            print(finding)
    if arguments.json:
        words = sys.argv[1:] if argv is None else argv
        evidence.write(arguments.json, f"python -m fuzz.run {shlex.join(words)}", results)
    return 1 if any(result.findings for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
