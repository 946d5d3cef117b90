"""From a board and a chip to a bitstream and what is to be known of it."""

import hashlib
import threading
import time
from dataclasses import asdict
from pathlib import Path

from ..boards.board import Board
from ..hw.contract.autapse_chip import AutapseChip
from ..hw.contract.chip import ChipConfig
from . import constraints, flow
from .board_top import BoardTop
from .once import Apart, convert

__all__ = ["Progress", "build", "refuse", "utilisation"]

_NAMES = {
    "ecp5": {"cells": "TRELLIS_COMB", "registers": "TRELLIS_FF", "dsp": "MULT18X18D", "block_ram": "DP16KD"},
    "ice40": {"cells": "ICESTORM_LC", "dsp": "ICESTORM_DSP", "block_ram": "ICESTORM_RAM",
              "large_ram": "ICESTORM_SPRAM"},
}
# Of RAM made of LUTs in a 7-series device, where it is not 4.
_LUTS = {"RAM32X1S": 1, "RAM64X1S": 1, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1S": 2}
# Seconds per cell of each part on one processor of a usual machine, for the time left only.
_PACE = {"generating": 0.0007, "synthesis": 0.007, "placement and routing": 0.02, "packing": 0.0003}


class Progress:
    """Calls `say(sentence, fraction)` once a second while a part is under way; fractions are of the whole build."""

    def __init__(self, say, *, cells: int, parts):
        self._say, self._part, self._done = say or (lambda text, fraction: None), "", 0.0
        self._expected = {part: max(_PACE[part] * cells, 1.0) for part in parts}
        self._whole, self._begin, self._stop = sum(self._expected.values()), 0.0, threading.Event()
        self.seconds: dict[str, float] = {}
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def start(self, part: str):
        """The part before is over."""
        self._finish()
        self._part, self._begin = part, time.monotonic()
        self._say(part, self._done / self._whole)

    def _finish(self):
        if self._part:
            self.seconds[self._part] = round(time.monotonic() - self._begin, 1)
            self._done += self._expected[self._part]
        self._part = ""

    def _tick(self):
        while not self._stop.wait(1.0):
            part = self._part
            if part:
                spent = time.monotonic() - self._begin
                inside = min(spent / self._expected[part], 0.97) * self._expected[part]
                self._say(f"{part}, {spent:.0f} s", (self._done + inside) / self._whole)

    def __exit__(self, *error):
        self._finish()
        self._stop.set()
        self._thread.join()
        if not error[0]:
            self._say("done", 1.0)


def build(board: Board, config: ChipConfig | AutapseChip, *, folder: Path, clock_hz: float | None = None,
          baud: int | None = None, fifo: bool = False, seed: int = 1, tools: str = "auto",
          cells: int = 20000, say=None) -> dict:
    """Builds a board's bitstream into `folder`; for a Xilinx board a project for Vivado and an estimate by Yosys.

    Parameters
    ----------
    clock_hz : that the PLL is to make; the preset's if None
    fifo : the line is the board's FIFO
    seed : of the placement
    tools : one of flow.CHOICES
    cells : about as many, for the time left
    say : called as say(sentence, fraction)

    Returns
    -------
    dict
        What `autapse build --json` writes. The same arguments and tools give the same bitstream.

    Raises
    ------
    FlowError
        If a tool is missing or fails; also where the chip does not fit, with what was asked and what there is.
    PllError, ValueError
        If the clock cannot be made.
    """
    family = board.device.family
    names = {"ecp5": ("yosys", "nextpnr-ecp5", "ecppack"), "ice40": ("yosys", "nextpnr-ice40", "icepack")}
    found = [flow.find(name, tools) for name in names.get(family, ("yosys",))]
    folder.mkdir(parents=True, exist_ok=True)
    parts = list(_PACE)[:None if family in names else 2]
    with Progress(say, cells=cells, parts=parts) as progress:
        progress.start("generating")
        top = BoardTop(board, config, clock_hz=clock_hz or board.preset_hz, baud=baud, fifo=fifo)
        apart = Apart(reset=False)
        texts = convert(top, name="top", ports={name: (pin, None) for name, pin in top.ports.items()}, apart=apart)
        (folder / "design.il").write_text("\n".join(texts.values()))
        pins = board.pins(fifo=fifo)
        for end, text in (("ecp5", constraints.lpf), ("ice40", constraints.pcf), ("xilinx", constraints.xdc)):
            if end == family:
                (folder / f"design.{text.__name__}").write_text(text(pins, board))
        result = {"board": board.name, "device": board.device.name, "config": asdict(config),
                  "clock (MHz)": top.clock_hz / 1e6, "oscillator (MHz)": board.clock_hz / 1e6,
                  "pll": asdict(top.settings), "line": "fifo" if fifo else "serial", "baud": baud,
                  "seed": seed, "tools": [tool.origin for tool in found]}
        progress.start("synthesis")
        counts = flow.synthesis(found[0], folder, family, repeated=tuple(apart.modules))
        if family == "xilinx":
            result |= _project(found[0], folder, board, counts)
            refuse(board, result["used"])
        else:
            _check_room(board, counts)
            progress.start("placement and routing")
            report = flow.place(found[1], folder, family, options=board.device.options, clock_hz=top.clock_hz,
                                seed=seed)
            progress.start("packing")
            made = flow.pack(found[2], folder, family, board.name)
            result |= {"used": utilisation(board, report), "Fmax (MHz)": _fmax(report),
                       "bitstream": made.name, "bytes": made.stat().st_size,
                       "sha256": hashlib.sha256(made.read_bytes()).hexdigest()}
            result["meets its clock"] = result["Fmax (MHz)"] >= round(result["clock (MHz)"], 2)
            result["critical path"] = _critical(report)
    return result | {"there is": budget(board), "seconds": progress.seconds}


def budget(board: Board) -> dict[str, int]:
    """What a board's device has."""
    device = board.device
    counts = {"cells": device.cells, "registers": device.registers, "dsp": device.dsp, "block_ram": device.block_ram}
    if device.family == "ice40":
        counts.pop("registers")
    return counts | ({"large_ram": device.large_ram} if device.large_ram else {})


def utilisation(board: Board, report: dict) -> dict[str, int]:
    """Of nextpnr's report, by the names that budgets have."""
    used = {name: entry["used"] for name, entry in report["utilization"].items()}
    return {ours: used.get(theirs, 0) for ours, theirs in _NAMES[board.device.family].items()}


def _fmax(report: dict) -> float:
    """MHz, of the slowest clock: all logic is behind the PLL."""
    return round(min(entry["achieved"] for entry in report["fmax"].values()), 2)


def _critical(report: dict) -> list[dict]:
    """The longest path from register to register: per step its kind, nanoseconds and net."""
    paths = [path for path in report.get("critical_paths", ()) if path.get("from") == path.get("to")]
    if not paths:
        return []
    longest = max(paths, key=lambda path: sum(step["delay"] for step in path["path"]))
    return [{"kind": step["type"], "ns": round(step["delay"], 3), "net": step.get("net", step["to"]["cell"])}
            for step in longest["path"]]


def _check_room(board: Board, counts: dict[str, int]) -> None:
    """Refuses, before placement, what cannot fit for certain."""
    if board.device.family == "ecp5":
        asked = {"cells": counts.get("LUT4", 0) + 2 * counts.get("CCU2C", 0) + 4 * counts.get("TRELLIS_DPR16X4", 0),
                 "registers": counts.get("TRELLIS_FF", 0), "dsp": counts.get("MULT18X18D", 0),
                 "block_ram": counts.get("DP16KD", 0)}
    else:
        asked = {"cells": max(counts.get("SB_LUT4", 0), sum(n for name, n in counts.items() if "SB_DFF" in name)),
                 "dsp": counts.get("SB_MAC16", 0), "block_ram": counts.get("SB_RAM40_4K", 0),
                 "large_ram": counts.get("SB_SPRAM256KA", 0)}
    refuse(board, asked)


def refuse(board: Board, asked: dict[str, int]) -> None:
    """Raises FlowError for the first thing of which more is asked than there is."""
    words = {"cells": "cells", "registers": "registers", "dsp": "DSP blocks", "block_ram": "block RAMs",
             "large_ram": "large RAMs"}
    remedy = {"block_ram": "smaller memories (--net a smaller network, a smaller --batch)",
              "large_ram": "smaller memories"}
    for name, have in budget(board).items():
        if asked.get(name, 0) > have:
            raise flow.FlowError(f"the chip does not fit {board.title}: it takes {asked[name]:,} {words[name]}, "
                                 f"{asked[name] - have:,} more than the {have:,} there are; use "
                                 f"{remedy.get(name, 'fewer --lanes, a smaller --mesh or network, or a larger board')}")


def _project(yosys: flow.Tool, folder: Path, board: Board, counts: dict[str, int]) -> dict:
    """Verilog and Tcl for Vivado, and what Yosys counts."""
    script = "read_rtlil design.il; proc; memory_collect; write_verilog -noattr design.v"
    yosys.run("-q", "-p", script, log=folder / "verilog.log")
    (folder / "build.tcl").write_text(constraints.vivado(board))
    luts = sum(n for name, n in counts.items() if name.startswith("LUT"))
    lutram = sum(n * _LUTS.get(name, 4) for name, n in counts.items()
                 if name.startswith("RAM") and not name.startswith("RAMB"))
    used = {"cells": luts + lutram, "registers": sum(n for name, n in counts.items() if name.startswith("FD")),
            "dsp": counts.get("DSP48E1", 0),
            "block_ram": counts.get("RAMB36E1", 0) + -(-counts.get("RAMB18E1", 0) // 2)}
    return {"used": used, "project": ["design.v", "design.xdc", "build.tcl"],
            "note": "counted by Yosys; run `vivado -mode batch -source build.tcl` in the folder for a bitstream"}
