"""`autapse boards` and `build`: what boards there are, and from one to its bitstream."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..boards import boards as all_boards
from ..boards.board import Board
from ..hw.contract.chip import ChipConfig
from ..sw_driver.compile import mesh_size
from ..sw_driver.errors import SpecError
from ..sw_driver.network import TrainingSpec
from . import options as given
from .record import command_line, keep, records

_WIDTH = 120   # of what is written to a file

BoardName = Annotated[str, typer.Argument(metavar="BOARD", help="Board, as `autapse boards` lists them.")]
MeshSize = Annotated[str | None, typer.Option("--mesh", help="Columns x rows of cores [the board's preset].")]
LaneCount = Annotated[int | None, typer.Option("--lanes", help="Synapses that an engine adds per cycle [preset].")]
UnitCount = Annotated[int | None, typer.Option("--units", help="Neurons that a neuron unit finishes per cycle "
                                               "[preset].")]
Inference = Annotated[bool, typer.Option("--inference", help="A chip that does not train.")]
Sequenced = Annotated[bool, typer.Option("--sequenced", help="The sequenced core: one lane for all, few cells.")]
AutapseCore = Annotated[bool, typer.Option("--autapse", help="The autapse core: one neuron, or --units side by side, "
                                           "for all nodes of a network.")]
BoardNet = Annotated[str | None, typer.Option("--net", help="Network: sizes such as 784-64-10, or a .toml or .py file; "
                                              "the chip's memories are made for it.")]
BatchSize = Annotated[int, typer.Option("--batch", help="Samples per update, of --net.")]


def find_board(name: str) -> Board:
    """The board of this name. Raises SpecError with the names that there are."""
    known = all_boards()
    if name not in known:
        raise SpecError(f"there is no board {name!r}; there are {', '.join(known)}")
    return known[name]


def _missing(error: ModuleNotFoundError) -> SpecError:
    return SpecError(f"boards need {error.name}, which is not installed; pip install 'autapse[synth]'")


def console() -> Console:
    """Standard output; wide enough for a table where it is no terminal."""
    found = Console()
    return found if found.is_terminal else Console(width=_WIDTH, file=sys.stdout)


def boards(json: given.Json = None, quiet: given.Quiet = False) -> int:
    """List the boards: device, serial line, budget, preset, clock."""
    from .map import _table
    rows, listed = [], {}
    for name, board in all_boards().items():
        config, device = board.preset(), board.device
        engines = 3 if config.training and not config.shared else 1
        cores = f"{config.nodes} core{'s' * (config.nodes > 1)}"
        lanes = "1 lane for all" if config.shared else " + ".join([str(config.lanes)] * engines) + " lanes"
        preset = f"{cores}, {lanes}"
        line = board.bridge or f"pins {' and '.join(board.line or ())}"
        listed[name] = {"title": board.title, "line": line, "oscillator (MHz)": board.clock_hz / 1e6,
                        "device": device.name, "family": device.family, "cells": device.cells,
                        "dsp": device.dsp, "block_ram": device.block_ram, "large_ram": device.large_ram,
                        "preset": vars(config), "clock (MHz)": board.preset_hz / 1e6, "note": board.note}
        rows.append((name, device.name, line, f"{device.cells:,}", str(device.dsp), str(device.block_ram), preset,
                     f"{board.preset_hz / 1e6:g}"))
    given.write_json(json, {"command": "boards", "boards": listed})
    if not quiet:
        table = _table("boards", "board", "device", "line", "cells", "DSP", "block RAM", "preset", "MHz", left=3)
        for row in rows:
            table.add_row(*row)
        console().print(table)
        for note in filter(None, dict.fromkeys(about["note"] for about in listed.values())):
            typer.echo(f"{', '.join(name for name, about in listed.items() if about['note'] == note)}: {note}")
    return 0


def chip_of(board: Board, *, net, steps, batch, momentum, mesh, lanes, units, inference, sequenced) -> ChipConfig:
    """The chip of the options of `build` and `estimate`."""
    from ..sw_driver.chosen import chosen_chip
    network = None if net is None else given.network_of(net, steps=steps, decay=0.5, data=None)
    training = None if inference else TrainingSpec(batch=batch, momentum=momentum)
    return chosen_chip(board, network, training, mesh=None if mesh is None else mesh_size(mesh), lanes=lanes,
                       units=units, inference=inference, sequenced=sequenced)


def _autapse_chip(board, units: int | None, baud: int | None, **others):
    """What `--autapse` builds: on an iCE40 the chip that fills it, elsewhere `AutapseChip` as it is."""
    from ..hw.autapse.preset import up5k_chip
    from ..hw.contract.autapse_chip import AutapseChip
    for name, value in others.items():
        if value not in (None, False):
            raise SpecError(f"--autapse is a chip of its own; leave --{name} out")
    small = board.device.family == "ice40"
    if small and baud is None:
        raise SpecError(f"beside the autapse core {board.title} has no cells left to find the line's rate; state it, "
                        "such as --baud 500000")
    preset = up5k_chip() if small else AutapseChip()
    try:
        return preset if units is None else replace(preset, units=units)
    except ValueError as error:
        raise SpecError(str(error)) from None


def build(
    board: BoardName,
    mesh: MeshSize = None,
    lanes: LaneCount = None,
    units: UnitCount = None,
    inference: Inference = False,
    sequenced: Sequenced = False,
    autapse: AutapseCore = False,
    net: BoardNet = None,
    steps: given.Steps = None,
    batch: BatchSize = 16,
    momentum: given.Momentum = 0.9,
    clock: Annotated[float | None, typer.Option("--clock", help="MHz that the PLL is to make [preset].")] = None,
    baud: Annotated[int | None, typer.Option("--baud", help="Bits per second on the line [found from the host's first "
                                             "frame].")] = None,
    line: Annotated[str, typer.Option("--line", help="serial, or fifo: the parallel FIFO of the board's FTDI chip, "
                                      "where it has one.")] = "serial",
    seed: Annotated[int, typer.Option("--seed", help="Of the placement.")] = 1,
    tools: Annotated[str, typer.Option("--tools", help="pip, system, or auto: pip's where there are.")] = "auto",
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the bitstream, report.html and the tools' files "
                                             "[build/BOARD].")] = None,
    record: Annotated[Path | None, typer.Option("--record", help="Keep the figures in this file of records, such as "
                                                "docs/boards.json.")] = None,
    json: given.Json = None,
    quiet: given.Quiet = False,
) -> int:
    """Make a board's bitstream, and a report of its timing and utilisation."""
    try:
        from ..gateware.build import build as make
        from ..gateware.build import refuse
        from ..gateware.flow import CHOICES, FlowError
        from ..gateware.pll import PllError
        from ..gateware.room import takes
    except ModuleNotFoundError as missing:
        raise _missing(missing) from None
    if tools not in CHOICES:
        raise SpecError(f"--tools must be {', '.join(CHOICES)}, not {tools!r}")
    if line not in ("serial", "fifo"):
        raise SpecError(f"--line must be serial or fifo, not {line!r}")
    given.check_positive(clock=clock, baud=baud)
    for path in filter(None, (json, record)):
        if path.is_dir():   # what is wrong with them is said before minutes are spent
            raise SpecError(f"{path} is a folder; name a file in it")
    if record is not None:
        records(record)
    chosen = find_board(board)
    if autapse:
        config = _autapse_chip(chosen, units, baud, net=net, mesh=mesh, lanes=lanes, inference=inference,
                               sequenced=sequenced, record=record)
    else:
        config = chip_of(chosen, net=net, steps=steps, batch=batch, momentum=momentum, mesh=mesh, lanes=lanes,
                         units=units, inference=inference, sequenced=sequenced)
    out = out or Path("build") / chosen.name
    news = None
    if not quiet:
        from .bench import _News
        news = _News(Console(stderr=True))
    try:
        expected = {} if autapse else _expected(takes, config, chosen.device)
        # Before minutes are spent: what an estimate says cannot fit by far.
        refuse(chosen, {name: int(count / 1.1) if name in ("cells", "registers") else count
                        for name, count in expected.items()})
        result = make(chosen, config, folder=out, clock_hz=None if clock is None else clock * 1e6, baud=baud,
                      fifo=line == "fifo", seed=seed, tools=tools,
                      cells=expected.get("cells", min(20000, chosen.device.cells)), say=news)
    except (FlowError, PllError, ValueError) as error:
        raise SpecError(str(error)) from None
    except ModuleNotFoundError as missing:
        raise _missing(missing) from None
    finally:
        if news is not None:
            news.stop()
    result = {"command": command_line(), **result}
    given.write_json(json, result)
    if record is not None:
        keep(record, result)
    page = _page(out / "report.html", chosen, result)
    if not quiet:
        _print_build(result, page)
    if not result.get("meets its clock", True):
        print(f"autapse: {chosen.title} reaches {result['Fmax (MHz)']:.1f} MHz, not the {result['clock (MHz)']:g} that "
              f"its PLL would make: use --clock {int(result['Fmax (MHz)'])} or another --seed", file=sys.stderr)
        return 1
    return 0


def _expected(takes, config, device) -> dict[str, int]:
    try:
        return takes(config, device)
    except (ValueError, OSError):
        return {}


def _page(path: Path, board, result: dict) -> Path | None:
    try:
        from ..sw_driver.report import footer
        from ..sw_driver.report.build import write_build_report
        write_build_report(path, result, title=f"{board.title}: a chip that "
                           f"{'trains' if result['config']['training'] else 'infers'}", footer=footer())
    except ModuleNotFoundError:
        return None     # matplotlib and jinja2 are an extra of their own
    return path


def _print_build(result: dict, page: Path | None) -> None:
    from .map import _table
    out = console()
    table = _table(f"{result['board']}, {result['device']}", "", "used", "there is", "share")
    for name, have in result["there is"].items():
        used = result["used"].get(name, 0)
        table.add_row(name.replace("_", " "), f"{used:,}", f"{have:,}", f"{100 * used / have:.0f} %")
    out.print(table)
    if "Fmax (MHz)" in result:
        typer.echo(f"clock {result['clock (MHz)']:g} MHz asked for, {result['Fmax (MHz)']:.2f} MHz reached")
        typer.echo(f"bitstream {result['bitstream']}, {result['bytes']:,} bytes, sha256 {result['sha256']}")
    else:
        typer.echo(result["note"])
    typer.echo(f"report: {page}" if page is not None else
               "no report.html was written: pip install 'autapse[report]' for it")
