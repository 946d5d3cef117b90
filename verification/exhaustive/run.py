"""Run the compiled exhaustive test, in one process or several, and collect what it says."""

import selectors
import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

__all__ = ["FINITE", "CaseError", "run_multiplication", "run_rounding"]

FINITE = 63488
"""Finite binary16 words."""

_REPORT_SECONDS = 5.0


class CaseError(Exception):
    """Gateware and oracle disagree; the message holds the first cases, operands and results in hexadecimal."""


def run_rounding(program: Path) -> tuple[int, str]:
    """Both rounders around every word and every tie; returns the number of values and the oracle's name.

    Raises
    ------
    CaseError
        If a result differs.
    """
    return _collect([[str(program), "round"]], report=None)


def run_multiplication(
    program: Path, *, rows: int = FINITE, jobs: int = 1, report: Callable[[int, int, float], None] | None = None
) -> tuple[int, str]:
    """The first ``rows`` operands with every finite word; returns the number of pairs and the oracle's name.

    Parameters
    ----------
    rows : int, 1 to 63488
        How many operands a, from the word 0 on.
    jobs : int
        Processes, each with an equal share of the rows.
    report : callable
        Called every few seconds with pairs done, pairs in all, and seconds since the start.

    Raises
    ------
    ValueError
        If ``rows`` or ``jobs`` is outside its range.
    CaseError
        If a result differs.
    """
    if not 1 <= rows <= FINITE:
        raise ValueError(f"Rows must be 1 to {FINITE}, not {rows!r}")
    if not 1 <= jobs <= rows:
        raise ValueError(f"Jobs must be 1 to the {rows} rows, not {jobs!r}")
    cuts = [rows * job // jobs for job in range(jobs + 1)]
    commands = [[str(program), "multiply", str(a), str(b)] for a, b in pairwise(cuts)]
    return _collect(commands, report=report, total=rows * FINITE)


def _collect(
    commands: list[list[str]], *, report: Callable[[int, int, float], None] | None, total: int = 0
) -> tuple[int, str]:
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    done = [0] * len(processes)
    passed: dict[int, tuple[int, str]] = {}
    differences = []
    start = reported = time.monotonic()
    try:
        with selectors.DefaultSelector() as selector:
            for index, process in enumerate(processes):
                assert process.stdout is not None
                selector.register(process.stdout, selectors.EVENT_READ, (index, process.stdout))
            while selector.get_map():
                for key, _ in selector.select():
                    # Lines come whole: the program flushes at their ends only.
                    index, stdout = key.data
                    line = stdout.readline()
                    if not line:
                        selector.unregister(stdout)
                        continue
                    kind, *words = line.split()
                    if kind == "progress":
                        done[index] = int(words[0])
                    elif kind == "passed":
                        passed[index] = int(words[0]), words[1]
                    else:
                        differences.append(line.strip())
                now = time.monotonic()
                if report and sum(done) and now - reported >= _REPORT_SECONDS:
                    report(sum(done), total, now - start)
                    reported = now
    finally:
        for process in processes:
            if process.poll() is None and len(passed) < len(processes):
                process.kill()
            process.communicate()
    if differences:
        raise CaseError("\n".join(["Gateware and oracle differ:", *differences]))
    if len(passed) < len(processes):
        codes = [process.returncode for process in processes]
        raise CaseError(f"The exhaustive program ended without a result, exit status {codes}")
    return sum(count for count, _ in passed.values()), passed[0][1]
