"""`autapse boards`, `build`, `program` and `estimate`: from a board to its bitstream, and before."""

import json as json_format
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..sw_driver.compile import mesh_size
from ..sw_driver.compile.work import SPIKES, assumed_activity
from ..sw_driver.errors import AutapseError, SpecError
from ..sw_driver.files import write_text
from ..sw_driver.network import TrainingSpec
from . import options as given

BAUD = 3_000_000
_WIDTH = 120   # of what is written to a file
_NOT_STARTED = 127     # a program whose libraries are not there

BoardName = Annotated[str, typer.Argument(metavar="BOARD", help="Board, as `autapse boards` lists them.")]
MeshSize = Annotated[str | None, typer.Option("--mesh", help="Columns x rows of cores [the board's preset].")]
LaneCount = Annotated[int | None, typer.Option("--lanes", help="Synapses that an engine adds per cycle [preset].")]
UnitCount = Annotated[int | None, typer.Option("--units", help="Neurons that a neuron unit finishes per cycle "
                                               "[preset].")]
Inference = Annotated[bool, typer.Option("--inference", help="A chip that does not train.")]
Sequenced = Annotated[bool, typer.Option("--sequenced", help="The sequenced core: one lane for all, few cells.")]
BoardNet = Annotated[str | None, typer.Option("--net", help="Network: sizes such as 784-64-10, or a .toml or .py file; "
                                              "the chip's memories are made for it.")]
BatchSize = Annotated[int, typer.Option("--batch", help="Samples per update, of --net.")]


def _board(name: str):
    try:
        from ..boards import boards as all_boards
        known = all_boards()
    except ModuleNotFoundError as missing:
        raise _missing(missing) from None
    if name not in known:
        raise SpecError(f"there is no board {name!r}; there are {', '.join(known)}")
    return known[name]


def _missing(error: ModuleNotFoundError) -> SpecError:
    return SpecError(f"boards need {error.name}, which is not installed; pip install 'autapse[synth]'")


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH, file=sys.stdout)


def boards(json: given.Json = None, quiet: given.Quiet = False) -> int:
    """List the boards: device, budget, preset, clock."""
    from ..boards import boards as all_boards
    from .map import _table
    rows, listed = [], {}
    for name, board in all_boards().items():
        config, device = board.preset(), board.device
        engines = 3 if config.training and not config.shared else 1
        cores = f"{config.nodes} core{'s' * (config.nodes > 1)}"
        lanes = "1 lane for all" if config.shared else " + ".join([str(config.lanes)] * engines) + " lanes"
        preset = f"{cores}, {lanes}"
        listed[name] = {"title": board.title, "device": device.name, "family": device.family, "cells": device.cells,
                        "dsp": device.dsp, "block_ram": device.block_ram, "large_ram": device.large_ram,
                        "preset": vars(config), "clock (MHz)": board.preset_hz / 1e6, "note": board.note}
        rows.append((name, device.name, f"{device.cells:,}", str(device.dsp), str(device.block_ram), preset,
                     f"{board.preset_hz / 1e6:g}"))
    given.write_json(json, {"command": "boards", "boards": listed})
    if not quiet:
        table = _table("boards", "board", "device", "cells", "DSP", "block RAM", "preset", "MHz", left=2)
        for row in rows:
            table.add_row(*row)
        _console().print(table)
        for name, about in listed.items():
            if about["note"]:
                typer.echo(f"{name}: {about['note']}")
    return 0


def _chip(board, *, net, steps, batch, momentum, mesh, lanes, units, inference, sequenced):
    """Network, training and chip of the options of `build` and `estimate`."""
    from ..sw_driver.estimate import chosen_chip
    network = None if net is None else given.network_of(net, steps=steps, decay=0.5, data=None)
    training = None if inference else TrainingSpec(batch=batch, momentum=momentum)
    config = chosen_chip(board, network, training, mesh=None if mesh is None else mesh_size(mesh), lanes=lanes,
                         units=units, inference=inference, sequenced=sequenced)
    return network, training, config


def build(
    board: BoardName,
    mesh: MeshSize = None,
    lanes: LaneCount = None,
    units: UnitCount = None,
    inference: Inference = False,
    sequenced: Sequenced = False,
    net: BoardNet = None,
    steps: given.Steps = None,
    batch: BatchSize = 16,
    momentum: given.Momentum = 0.9,
    clock: Annotated[float | None, typer.Option("--clock", help="MHz that the PLL is to make [preset].")] = None,
    baud: Annotated[int | None, typer.Option("--baud", help="Bits per second on the line [found from the host's first "
                                             "frame].")] = None,
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
    given.check_positive(clock=clock, baud=baud)
    for path in filter(None, (json, record)):
        if path.is_dir():   # what is wrong with them is said before minutes are spent
            raise SpecError(f"{path} is a folder; name a file in it")
    if record is not None:
        _records(record)
    chosen = _board(board)
    _, _, config = _chip(chosen, net=net, steps=steps, batch=batch, momentum=momentum, mesh=mesh, lanes=lanes,
                         units=units, inference=inference, sequenced=sequenced)
    out = out or Path("build") / chosen.name
    news = None
    if not quiet:
        from .bench import _News
        news = _News(Console(stderr=True))
    try:
        expected = _expected(takes, config, chosen.device)
        # Before minutes are spent: what an estimate says cannot fit by far.
        refuse(chosen, {name: int(count / 1.1) if name in ("cells", "registers") else count
                        for name, count in expected.items()})
        result = make(chosen, config, folder=out, clock_hz=None if clock is None else clock * 1e6, baud=baud, seed=seed,
                      tools=tools, cells=expected.get("cells", 20000), say=news)
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


def command_line() -> str:
    """What was typed, without where its results go."""
    words, kept = iter(sys.argv[1:]), []
    for word in words:
        if word in ("--out", "--json", "--record", "--tools"):
            next(words, None)
        elif word != "--quiet" and not word.startswith(("--out=", "--json=", "--record=", "--tools=")):
            kept.append(word)
    return " ".join(["autapse", *kept])


def _records(path: Path) -> dict:
    try:
        found = json_format.loads(path.read_text()) if path.exists() else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SpecError(f"{path} is no record of builds; name another file or remove it")
    return found


def keep(path: Path, result: dict) -> None:
    """Puts a build into a file of records, by its command. Raises SpecError if the file holds something else."""
    found = _records(path)
    found[result["command"]] = {name: value for name, value in result.items() if name not in ("command",
                                                                                               "critical path")}
    write_text(path, json_format.dumps(found, indent=1) + "\n")


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
    console = _console()
    table = _table(f"{result['board']}, {result['device']}", "", "used", "there is", "share")
    for name, have in result["there is"].items():
        used = result["used"].get(name, 0)
        table.add_row(name.replace("_", " "), f"{used:,}", f"{have:,}", f"{100 * used / have:.0f} %")
    console.print(table)
    if "Fmax (MHz)" in result:
        typer.echo(f"clock {result['clock (MHz)']:g} MHz asked for, {result['Fmax (MHz)']:.2f} MHz reached")
        typer.echo(f"bitstream {result['bitstream']}, {result['bytes']:,} bytes, sha256 {result['sha256']}")
    else:
        typer.echo(result["note"])
    if page is not None:
        typer.echo(f"report: {page}")


def program(
    board: BoardName,
    bitstream: Annotated[Path | None, typer.Argument(help="Bitstream [that in build/BOARD].")] = None,
    flash: Annotated[bool, typer.Option("--flash", help="Into the board's flash, to stay after power-off. "
                                         "iCEBreaker and OrangeCrab always do.")] = False,
    tools: Annotated[str, typer.Option("--tools", help="pip, system, or auto.")] = "auto",
    dry: Annotated[bool, typer.Option("--dry-run", help="Only print the command.")] = False,
) -> int:
    """Load a bitstream into a board with openFPGALoader."""
    from ..gateware.flow import FlowError, find
    chosen = _board(board)
    if chosen.device.family == "xilinx" and bitstream is None:
        raise SpecError(f"{chosen.title} has its bitstream from Vivado; name the file: autapse program {board} FILE")
    path = bitstream or Path("build") / chosen.name / f"{chosen.name}.{_suffix(chosen)}"
    if not path.is_file():
        raise SpecError(f"there is no bitstream {path}; make it with: autapse build {board}")
    try:
        loader = find("openFPGALoader", tools)
    except FlowError as error:
        raise SpecError(str(error)) from None
    command = [*loader.command, *chosen.programmer, *(["-f"] if flash else []), str(path)]
    typer.echo(" ".join(command))
    if dry:
        return 0
    done = subprocess.run(command, check=False)
    if done.returncode == _NOT_STARTED:
        raise AutapseError("openFPGALoader could not be started, see above; pip's needs the system's libusb-1.0 and "
                           "libftdi1")
    if done.returncode:
        raise AutapseError(f"openFPGALoader could not load {chosen.title} (code {done.returncode}): is it plugged in, "
                           "and may you use its USB device? See docs/boards.md")
    return 0


def _suffix(board) -> str:
    return "bin" if board.device.family == "ice40" else "bit"


def estimate(
    board: BoardName,
    net: Annotated[str, typer.Option("--net", help="Network: sizes such as 784-64-10, or a .toml or .py file.")],
    mesh: MeshSize = None,
    lanes: LaneCount = None,
    units: UnitCount = None,
    inference: Inference = False,
    sequenced: Sequenced = False,
    tailored: Annotated[bool, typer.Option("--tailored", help="A chip whose memories are made for the network, instead "
                                           "of the board's preset.")] = False,
    steps: given.Steps = None,
    batch: BatchSize = 16,
    momentum: given.Momentum = 0.9,
    baud: Annotated[int, typer.Option("--baud", help="Bits per second on the line.")] = BAUD,
    clock: Annotated[float | None, typer.Option("--clock", help="MHz, instead of the estimated Fmax.")] = None,
    spikes: Annotated[float, typer.Option("--spikes", help="Share of neurons that spike in a step.")] = SPIKES,
    data: Annotated[str | None, typer.Option("--data", help="Take the spikes of the inputs from this data set, as "
                                             "autapse train names it [that of --measure].")] = None,
    measure: Annotated[str | None, typer.Option("--measure", metavar="DATA", help="Count the chip's cycles too, in "
                                                "simulation of its RTL on the first two batches of this data set "
                                                "(minutes).")] = None,
    json: given.Json = None,
    quiet: given.Quiet = False,
) -> int:
    """Tell in seconds whether a chip fits a board, how fast it is, and what it and the line do with a network."""
    from ..sw_driver.estimate import activity_on
    from ..sw_driver.estimate import estimate as told_of
    given.check_positive(clock=clock, baud=baud)
    chosen = _board(board)
    tailored = tailored or any(value is not None for value in (mesh, lanes, units))
    asked = net if tailored else None
    network = given.network_of(net, steps=steps, decay=0.5, data=None)
    training = None if inference else TrainingSpec(batch=batch, momentum=momentum)
    _, _, config = _chip(chosen, net=asked, steps=steps, batch=batch, momentum=momentum, mesh=mesh, lanes=lanes,
                         units=units, inference=inference and tailored, sequenced=sequenced)
    source = data or measure
    activity = assumed_activity(network, spikes=spikes) if source is None else activity_on(network, source,
                                                                                           spikes=spikes)
    found = told_of(chosen, network, training, config, baud=baud, clock=clock, activity=activity)
    measured = None
    if measure is not None:
        if training is None:
            raise SpecError("--measure trains the chip, so it does not go with --inference")
        measured = _measured(config, network, training, measure, quiet=quiet)
    given.write_json(json, {"command": "estimate", **found.as_dict(), "measured": measured})
    if not quiet:
        _print_estimate(found, chosen)
        for name in ("training", "inference"):
            if measured is None:
                break
            cycles = measured[name]
            typer.echo(f"measured, {name}: {cycles:,.0f} cycles per sample, {1e6 * found.fmax / cycles:,.0f} "
                       f"samples/s, {cycles / found.fmax:,.1f} µs each")
    if not found.fits:
        over = next(name for name, have in found.there_is.items() if found.used.get(name, 0) > have)
        raise SpecError(f"this chip does not fit {chosen.title}: {found.used[over]:,} {over.replace('_', ' ')} by "
                        f"estimate, {found.there_is[over]:,} there are; use fewer --lanes, a smaller --mesh or a "
                        "smaller network")
    return 0


def _measured(config, network, training, data: str, *, quiet: bool) -> dict:
    from ..sw_driver.measure import measured_cycles
    from ..sw_driver.progress import Building
    news = None if quiet else Building()
    try:
        return measured_cycles(config, network, training, data=data, progress=news)
    finally:
        if news is not None:
            news.stop()


def _print_estimate(found, board) -> None:
    from .map import _table
    console = _console()
    config = found.config
    typer.echo(f"{found.network} on {board.title}, {config.nodes} core{'s' * (config.nodes > 1)} of {config.lanes} "
               f"lane{'s' * (config.lanes > 1)}; work {found.work}")
    table = _table("estimate", "", "takes", "there is", "share")
    for name, have in found.there_is.items():
        used = found.used.get(name, 0)
        table.add_row(name.replace("_", " "), f"{used:,}", f"{have:,}", f"{100 * used / have:.0f} %")
    table.add_row("Fmax, MHz", f"{found.fmax:.1f}", "", "")
    console.print(table)
    table = _table(f"per sample, at {found.fmax:.1f} MHz and {found.baud:,} baud", "", "cycles",
                   "samples/s of the chip", "bytes on the line", "ms there", "samples/s of the line")
    for name, told in (("training", found.training), ("inference", found.inference)):
        if told:
            table.add_row(name, f"{told['cycles']:,.0f}", f"{told['samples/s']:,.0f}", f"{told['bytes']:,}",
                          f"{1e3 * told['line s']:.2f}", f"{told['samples/s of the line']:,.0f}")
    console.print(table)
