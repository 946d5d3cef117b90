"""`autapse sim-board`: a board in a box, its serial port a pseudo-terminal."""

import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from ..hw.contract.chip import ChipConfig
from ..sw_driver.compile import mesh_size
from ..sw_driver.errors import DeviceError, SpecError
from ..sw_driver.progress import Building
from . import options as given
from .board import find_board

_FIELDS = [field.name for field in fields(ChipConfig)]


def sim_board(
    board: Annotated[str, typer.Argument(help="Board, such as ulx3s-85f; autapse boards lists them.")],
    chip: Annotated[str | None, typer.Option("--chip", help="Change the board's chip: fields of its configuration, "
                                             "such as lanes=4,units=1. A smaller chip simulates faster.")] = None,
    mesh: Annotated[str | None, typer.Option("--mesh", help="Cores of the chip, as columns x rows.")] = None,
    clock: Annotated[float | None, typer.Option("--clock", help="Clock of the chip in MHz [the board's].")] = None,
    baud: Annotated[int | None, typer.Option("--baud", help="Build the chip for this rate [it finds the host's].")]
    = None,
    link: Annotated[Path | None, typer.Option("--link", help="Keep a link to the port here: a name that stays when the "
                                              "board is unplugged and plugged in again.")] = None,
    unplug_every: Annotated[int, typer.Option("--unplug-every", help="Pull the cable each time this many bytes have "
                                              "come; 0 never does.")] = 0,
    away: Annotated[float, typer.Option("--away", help="Seconds until the cable is back.")] = 1.0,
    lose_power: Annotated[bool, typer.Option("--lose-power", help="The cable is what the board lives on: pulled, it "
                                             "forgets everything.")] = False,
    flip: Annotated[float, typer.Option("--flip", help="Share of the line's bits that are flipped.")] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="Decides which.")] = 1,
    lights: Annotated[bool, typer.Option("--lights", help="Say on standard error which lights are lit, and when.")]
    = False,
    stats: Annotated[bool, typer.Option("--stats", help="At the end, leave a line of JSON on standard error.")] = False,
    quiet: given.Quiet = False,
) -> int:
    """Simulate a board with its pins; prints the device to train on. Ctrl-C ends it."""
    for name, value, most in (("--flip", flip, 0.5), ("--away", away, 1e6), ("--unplug-every", unplug_every, 1e15),
                              ("--seed", seed, 1e15)):
        if not 0 <= value <= most:
            raise SpecError(f"{name} must be from 0 to {most:g}, not {value!r}")
    given.check_positive(clock=clock, baud=baud)
    if link is not None:
        _check_link(link)
    if unplug_every and link is None and not quiet:
        print("autapse: without --link the port may come back under another name", file=sys.stderr)
    program, clock_hz = build_board(board, chip=chip, mesh=mesh, clock_hz=clock and 1e6 * clock, baud=baud, quiet=quiet)
    command = [str(program), "--clock", f"{clock_hz:.0f}", "--flip", str(flip), "--seed", str(seed), "--away",
               str(away), "--unplug-every", str(unplug_every)]
    command += ["--baud", str(baud)] if baud else []
    command += ["--link", str(link)] if link else []
    command += [name for name, on in (("--lose-power", lose_power), ("--lights", lights), ("--stats", stats)) if on]
    if not quiet:
        print(f"{board} at {clock_hz / 1e6:.1f} MHz; train on it with --device and the name below, end it with Ctrl-C, "
              f"pull its cable with kill -USR1 {os.getpid()}, put it back with kill -USR2 {os.getpid()}",
              file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(program, command)


def build_board(name: str, *, chip: str | None = None, mesh: str | None = None, clock_hz: float | None = None,
                baud: int | None = None, quiet: bool = True) -> tuple[Path, float]:
    """The simulator of a board's top, compiled or from the cache, and its clock in Hz.

    Raises
    ------
    SpecError
        If there is no such board, or its chip cannot be changed so.
    DeviceError
        If a tool or a package is missing.
    """
    board = find_board(name)
    try:
        from ..gateware.simulator.build import SimulatorError, build_simulator, find_simulator
        from ..gateware.simulator.outside import PINS
        from ..gateware.top import Top
    except ModuleNotFoundError as missing:
        raise DeviceError(f"simulating a board needs {missing.name}, which is not installed; "
                          "try pip install 'autapse[sim,serial]'") from None
    clock_hz = clock_hz or board.preset_hz
    changes = _changes(chip)
    if mesh is not None:
        changes["mesh_width"], changes["mesh_height"] = mesh_size(mesh)
    building = None if quiet else Building()
    try:
        config = board.preset().replace(**changes)
        recipe = f"Top {config} {clock_hz} {baud}"
        program = find_simulator(recipe, outside=PINS)
        if program is None:
            program = build_simulator(Top(config, clock_hz=clock_hz, baud=baud), recipe=recipe, outside=PINS,
                                      progress=building)
    except (TypeError, ValueError) as error:
        raise SpecError(f"the board {name} cannot have this chip: {error}") from None
    except SimulatorError as error:
        raise DeviceError(str(error)) from None
    finally:
        if building is not None:
            building.stop()
    return program, clock_hz


def _check_link(link: Path) -> None:
    """Refuses a name for the port that is something else already, or cannot be made."""
    if os.path.lexists(link) and not link.is_symlink():
        raise SpecError(f"--link {link} is there already and is no link; name another path")
    if not link.parent.is_dir():
        raise SpecError(f"there is no folder {link.parent} for --link; make it, or name another path")


def _changes(text: str | None) -> dict[str, int | bool]:
    """Fields of ChipConfig in lanes=4,shared=true."""
    found: dict[str, int | bool] = {}
    for item in filter(None, (text or "").split(",")):
        name, _, value = (part.strip() for part in item.partition("="))
        if name not in _FIELDS:
            raise SpecError(f"a chip has no {name!r} that --chip could change; it has {', '.join(_FIELDS)}")
        if value in ("true", "false"):
            found[name] = value == "true"
        elif value.isdecimal():
            found[name] = int(value)
        else:
            raise SpecError(f"--chip takes fields such as lanes=4, separated by commas, not {item!r}")
    return found
