"""`autapse doctor`: is this device well?"""

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..sw_driver.doctor import Finding, examine
from . import options as given

_WIDTH = 120


def doctor(
    device: Annotated[str, typer.Option("--device", help="serial:/dev/ttyUSB0, sim, golden.")] = "sim",
    full: Annotated[bool | None, typer.Option("--full/--quick", help="Look at every word of the memories, or at blocks "
                                              "around every power of two [every word, if it takes a minute at most].")]
    = None,
    json: given.Json = None,
    quiet: given.Quiet = False,
) -> int:
    """Examine a device: identity, known answer, memory, throughput. Exit code 1 if something is wrong with it."""
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    findings: list[Finding] = []
    with given.opened(device, quiet=quiet) as opened:
        findings.extend(examine(opened, whole=full, **({} if quiet else {"say": _say})))
        line = opened.line()
    well = all(finding.passed for finding in findings)
    seconds = time.perf_counter() - began
    given.write_json(json, {"command": "doctor", "device": device, "well": well, "seconds": seconds,
                            "findings": [finding.as_dict() for finding in findings], "line": line})
    if not quiet:
        _print(findings)
        typer.echo(f"{device}: {'well' if well else 'not well'}, {seconds:.1f} s")
        if json is not None:
            typer.echo(f"written: {json}")
    return 0 if well else 1


def _say(what: str) -> None:
    given.notice(f"examining {what}")


def _print(findings: list[Finding]) -> None:
    table = Table(show_header=True)
    for title in ("examined", "", "found"):
        table.add_column(title, overflow="fold")
    for finding in findings:
        table.add_row(finding.name, "ok" if finding.passed else "WRONG", finding.text)
    terminal = Console()
    (terminal if terminal.is_terminal else Console(width=_WIDTH)).print(table, highlight=False)
