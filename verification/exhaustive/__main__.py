"""``python -m autapse.verification.exhaustive``: all 2^32 operand pairs, and every tie, with progress and a record."""

import argparse
import sys
import time
from pathlib import Path

from .bank import build
from .run import FINITE, CaseError, run_multiplication, run_rounding
from .toolchain import compiler_name

_RECORD = """\
# Exhaustive test of the numeric units

Written by `python -m autapse.verification.exhaustive`, which drives the Verilated units through every case below and
compares each result with an oracle in C++ that shares nothing with them. All results were equal, bit for bit, overflow
flags included.

| unit | cases | oracle | elapsed |
|---|---|---|---|
| `Multiplication`: every pair of the {finite:,} finite words | {pairs:,} | {oracle} | {pairs_time} |
| `Rounding`, 52 bits (24 of fraction) and 92 (48): around every word and tie | {values:,} | search | {values_time} |

- Left out of the 2^32 pairs: those with an operand of exponent 31 (infinity, NaN), which the host refuses.
- Oracle F16C: the product is exact in float, the processor rounds it to binary16 by itself, and one result in 997 is
  also searched among all finite words. Oracle search: all are.
- Around every word and every tie: one unit to both sides, and each single bit that must reach sticky; both signs; every
  power of two of the format, one unit to both sides.
- {lanes} multipliers side by side in the simulation, processes: {jobs}. Compiled with {compiler}.

Behind the same marker, with its record in [noc.md](noc.md): the proof of a router with four links.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run, print progress, write the record; 0 if every case is equal, 1 if one differs."""
    parser = argparse.ArgumentParser(prog="python -m autapse.verification.exhaustive", description=__doc__)
    parser.add_argument("--rows", type=int, default=FINITE, help=f"operands a to try, from the first (all {FINITE})")
    parser.add_argument("--lanes", type=int, default=64, help="multipliers side by side in the simulation (64)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--folder", type=Path, default=Path("build/exhaustive"), help="where builds are kept")
    parser.add_argument("--record", type=Path, default=Path("docs/exhaustive.md"), help="file a full run writes")
    options = parser.parse_args(arguments)
    print(f"Building {options.lanes} multipliers and two rounders under {options.folder}", flush=True)
    program = build(lanes=options.lanes, folder=options.folder)
    try:
        start = time.monotonic()
        values, _ = run_rounding(program)
        values_time = time.monotonic() - start
        print(f"Rounding: {values:,} values equal in {_duration(values_time)}", flush=True)
        start = time.monotonic()
        pairs, oracle = run_multiplication(program, rows=options.rows, jobs=options.jobs, report=_progress)
        pairs_time = time.monotonic() - start
    except CaseError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Multiplication: {pairs:,} pairs equal in {_duration(pairs_time)}")
    if options.rows == FINITE:
        text = _RECORD.format(
            lanes=options.lanes, finite=FINITE, pairs=pairs, oracle=oracle, pairs_time=_duration(pairs_time),
            values=values, values_time=_duration(values_time), compiler=compiler_name(), jobs=options.jobs,
        )  # fmt: skip
        options.record.parent.mkdir(parents=True, exist_ok=True)
        # What others have recorded there stays.
        _, mark, others = (options.record.read_text() if options.record.exists() else "").partition("\n## ")
        options.record.write_text(text + mark + others)
        print(f"Recorded in {options.record}")
    return 0


def _progress(done: int, total: int, seconds: float):
    left = seconds * (total - done) / done
    rate = done / seconds / 1e6
    print(f"Multiplication: {done / total:6.1%} of {total:,} pairs, {rate:.1f} M/s, {_duration(left)} left", flush=True)


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
