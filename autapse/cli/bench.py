"""`autapse bench`: how fast and how large things are, one subject at a time."""

import os
import platform
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..sw_driver.errors import Interrupted
from ..sw_driver.progress import Quietly
from ..verification.bench import SUBJECTS, measure
from . import options as given

_WIDTH = 120   # of what is written to a file


class _News:
    """Shows how far a measurement has come: a bar with the time left on a terminal, else a line per step."""

    def __init__(self, console: Console):
        self._console = console
        self._bar = Quietly(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"),
                            TimeRemainingColumn(), console=console)
        self._task = self._bar.add_task("", total=None)
        self._fraction = 1.0

    def __call__(self, text: str, fraction: float | None = None) -> None:
        if not self._console.is_terminal:
            if fraction is None:
                self._console.print(text, highlight=False)
            return
        self._bar.start()
        if fraction is not None and fraction < self._fraction:
            self._bar.reset(self._task)     # another part: its time has nothing to do with the last one's
        if fraction is None:
            self._bar.update(self._task, description=text)
        else:
            self._fraction = fraction
            self._bar.update(self._task, description=text, total=1.0, completed=fraction)

    def stop(self) -> None:
        self._bar.stop()


def bench(
    subject: Annotated[str | None, typer.Argument(help="One of: " + ", ".join(SUBJECTS) + ". Without it, they are "
                                                  "explained.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A short run: less data, the same figures less certain.")]
    = False,
    data: Annotated[Path | None, typer.Option("--data", help="Folder with the idx files of MNIST (engines, golden).")]
    = None,
    device: Annotated[str | None, typer.Option("--device", help="Simulated chip: sim:lanes=8,units=2 (engines, mesh); "
                                               "a board, serial:/dev/ttyUSB0 (serial).")]
    = None,
    only: Annotated[str | None, typer.Option("--only", help="Run this configuration alone (synth), or this mesh beside "
                                             "one core (mesh).")] = None,
    record: Annotated[Path | None, typer.Option("--record", help="File of the record, instead of docs/synthesis.json "
                                                "(synth).")] = None,
    mesh: Annotated[str | None, typer.Option("--mesh", help="Columns and rows of the mesh: 4x4 (noc).")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the figures into this .svg, .png or .pdf file.")]
    = None,
    json: given.Json = None,
    quiet: given.Quiet = False,
) -> int:
    """Measure engines, meshes, golden model, simulation, synthesis or link; every figure beside one of the same run."""
    if subject is None:
        for name, text in SUBJECTS.items():
            typer.echo(f"{name:<8} {text}")
        return 0
    from ..verification.bench.show import check_format, print_tables
    from ..verification.bench.show import plot as draw
    if plot is not None:
        check_format(plot)
    for path in filter(None, (plot, json)):
        path.parent.mkdir(parents=True, exist_ok=True)
    news = None if quiet else _News(Console(stderr=True))
    begin = time.perf_counter()
    try:
        found = measure(subject, quick=quick, say=news, data=_text(data), device=device, only=only, mesh=mesh,
                        record=_text(record))
    except KeyboardInterrupt:
        raise Interrupted(f"bench {subject} interrupted; nothing was written") from None
    finally:
        if news is not None:
            news.stop()
    seconds = time.perf_counter() - begin
    given.write_json(json, {"command": "bench", "seconds": seconds, "machine": machine(), **found})
    if plot is not None:
        draw(found, plot)
    if not quiet:
        terminal = Console()
        print_tables(found, terminal if terminal.is_terminal else Console(width=_WIDTH))
        typer.echo(f"{seconds:.0f} s on {machine()['processor']}, {machine()['processors']} processors"
                   + (", quick" if quick else ""))
        for path in filter(None, (json, plot)):
            typer.echo(f"written: {path}")
    return 0


def machine() -> dict:
    """What the figures were measured on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    return {"processor": processor, "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
            else os.cpu_count(), "system": platform.system(), "python": platform.python_version()}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
