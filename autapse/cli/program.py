"""`autapse program`: a bitstream into a board."""

import subprocess
from pathlib import Path
from typing import Annotated

import typer

from ..sw_driver.errors import AutapseError, SpecError
from .board import BoardName, find_board

_NOT_STARTED = 127     # a program whose libraries are not there


def program(
    board: BoardName,
    bitstream: Annotated[Path | None, typer.Argument(help="Bitstream [that in build/BOARD].")] = None,
    flash: Annotated[bool, typer.Option("--flash", help="Into the board's flash, to stay after power-off. "
                                         "iCEBreaker and OrangeCrab always do.")] = False,
    tools: Annotated[str, typer.Option("--tools", help="pip, system, or auto.")] = "auto",
    dry: Annotated[bool, typer.Option("--dry-run", help="Only print the command.")] = False,
) -> int:
    """Load a bitstream into a board with openFPGALoader."""
    from ..gateware.bitstream import found_in, made_for
    from ..gateware.flow import FlowError, find
    chosen = find_board(board)
    if chosen.device.family == "xilinx" and bitstream is None:
        raise SpecError(f"{chosen.title} has its bitstream from Vivado; name the file: autapse program {board} FILE")
    path = bitstream or Path("build") / chosen.name / f"{chosen.name}.{_suffix(chosen)}"
    if not path.is_file():
        raise SpecError(f"there is no bitstream {path}; make it with: autapse build {board}")
    found, meant = found_in(path), made_for(chosen.device)
    if found not in meant:
        raise SpecError(f"{path} is a bitstream for {found}, {chosen.title} has {meant[0]}; make one with: autapse "
                        f"build {board}")
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
