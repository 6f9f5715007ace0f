"""Fuzzing: whatever bytes a peer sends, a decoder answers with a value or an error of the peer.

A target is a module in `fuzz/targets/`; dropping it there registers it. It holds

- `SEEDS`: valid inputs, made by the code itself, from which mutations start;
- `target(data)`: hands `data` to the code. It may return, or raise any `ParlourError` but a
  `UsageError` or an `InternalError`; its own assertions may say more. Anything else is a finding.

`python -m fuzz.run --list`, `python -m fuzz.run NAME --seconds 60`, `python -m fuzz.run --all`.

Layout: `targets/`, `registry` (finds them), `check` (the invariant), `mutate` and `loop` (a seeded
loop that works everywhere), `guided` (atheris, guided by coverage, where it is installed),
`evidence` (what a run leaves behind), `run` (the command).
"""
