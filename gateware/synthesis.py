"""Synthesis, placement and routing with open tools: what a design takes of an FPGA and how fast it is.

Run as `python -m autapse.gateware.synthesis [--lanes 8 --units 1 --shared --core] [--json FILE]`. The design is the
chip that fits 64-128-10, its line on pins, or with `--core` its core alone; `--target up5k` takes the sequenced core,
`--autapse` the autapse core.
"""

import argparse
import json
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from ..hw.autapse.preset import up5k_chip
from ..hw.contract.autapse_chip import AutapseChip
from ..hw.contract.chip import ChipConfig
from ..hw.sequenced.preset import up5k_config
from .chip import Chip, core_of
from .flow import ECP5_PLACEMENT, ECP5_SYNTHESIS, FREE_COLLISIONS, SynthesisError, find, finish
from .once import convert


class Target(NamedTuple):
    """A device, by what its tools are told; `before` synthesis."""

    before: str
    synthesis: str
    placer: str
    options: tuple[str, ...]
    cells: dict[str, str]   # name in the result: name in nextpnr's report


def _ecp5(speed: str) -> Target:
    return Target("", ECP5_SYNTHESIS, "nextpnr-ecp5",
                  ("--85k", "--package", "CABGA381", "--speed", speed, "--lpf-allow-unconstrained", *ECP5_PLACEMENT,
                   "--freq", "100", "--textcfg", "design.config"),
                  {"cells (LUT4 and carry)": "TRELLIS_COMB", "registers": "TRELLIS_FF",
                   "DSP (MULT18X18D)": "MULT18X18D", "block RAM (DP16KD)": "DP16KD",
                   "RAM from cells (TRELLIS_RAMW)": "TRELLIS_RAMW"})


TARGETS = {
    "ecp5-85f": _ecp5("6"),
    "ecp5-85f-8": _ecp5("8"),   # the fastest grade, which an OrangeCrab's 85F has
    # Single-port memories have no first contents; the sequenced core's large memory needs none.
    "up5k": Target(r"delete t:$meminit_v2 r:MEMID=\large_memory %i; setattr -set ram_style "
                   '"huge" m:large_memory;', "synth_ice40 -abc9 -device u -dsp -spram", "nextpnr-ice40",
                   ("--up5k", "--package", "sg48", "--pcf-allow-unconstrained", "--freq", "24", "--asc", "design.asc"),
                   {"cells (LUT4, flip-flop or both)": "ICESTORM_LC", "DSP (SB_MAC16)": "ICESTORM_DSP",
                    "block RAM (4 kbit)": "ICESTORM_RAM", "RAM (256 kbit)": "ICESTORM_SPRAM"}),
}
# What 64-128-10 needs at 8 steps and batches of 32, rounded up to powers of two.
DEMO = {"layers": 2, "events": 128, "spike_rows": 256, "mask_rows": 256, "history_words": 2048, "active_words": 256}


def demo_config(*, lanes: int, units: int, shared: bool) -> ChipConfig:
    """The chip of 64-128-10 with so many lanes."""
    groups, outputs = -(-128 // lanes), -(-10 // lanes)
    beats = (groups + outputs) * lanes // units
    rows = 3 * (groups * -(-65 // lanes) + outputs * -(-129 // lanes)) * lanes

    def up(count: int) -> int:
        return 1 << (count - 1).bit_length()

    return ChipConfig(
        lanes=lanes, units=units, shared=shared, slots=1 if shared else 2, **DEMO | {
            "events": up(129), "synapses": up(rows), "neurons": up(beats), "parameters": up(beats),
            "spike_rows": up((-(-64 // lanes) + groups + outputs) * 8), "mask_rows": up((groups + outputs) * 8),
            "membrane_rows": up(groups * lanes // units * 8), "error_rows": up((groups + outputs) * 256),
            "active_words": up((groups + outputs) * 8), "readouts": up(outputs * lanes // units),
            "error_inputs": up(outputs * lanes // units)})


def pack(folder: Path, bitstream: Path) -> None:
    """The bitstream of what was placed and routed in `folder` for an iCE40.

    Raises
    ------
    SynthesisError
        If the tool fails.
    """
    find("icepack", "pip").run("design.asc", "design.bin", log=folder / "icepack.log")
    bitstream.write_bytes((folder / "design.bin").read_bytes())


def synthesise(component, *, folder: Path, say=print, target: str = "ecp5-85f", seed: int = 1) -> dict:
    """Cells, DSP, block RAM and Fmax of `component` on a target, after routing. Repeated modules are generated once.

    Raises
    ------
    SynthesisError
        If a tool is missing or fails, with the end of what it printed.
    """
    device, start = TARGETS[target], time.monotonic()
    (folder / "design.il").write_text("\n".join(convert(component, name="design").values()))
    say("synthesis (Yosys) …")
    script = (f"read_rtlil design.il; {FREE_COLLISIONS}; {device.before} {device.synthesis} -top design "
              "-json design.json; stat")
    find("yosys", "pip").run("-p", script, log=folder / "yosys.log")
    if target.startswith("ecp5"):
        finish(folder)
    say(f"placement and routing (nextpnr), after {time.monotonic() - start:.0f} s …")
    find(device.placer, "pip").run(*device.options, "--json", "design.json", "--report", "report.json",
                                   "--timing-allow-fail", "--seed", str(seed), log=folder / "nextpnr.log")
    report = json.loads((folder / "report.json").read_text())
    used = {name: entry["used"] for name, entry in report["utilization"].items()}
    clocks = [round(entry["achieved"], 1) for entry in report["fmax"].values()]
    return {
        **{title: used.get(name, 0) for title, name in device.cells.items()},
        "Fmax (MHz)": min(clocks, default=None),
        "nextpnr": version(f"yowasp-{device.placer}"),
        "seconds": round(time.monotonic() - start),
    }


def main(arguments=None) -> int:
    """The command; 0, or 2 with one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m autapse.gateware.synthesis", description=__doc__.split("\n")[0])
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--units", type=int, default=1)
    parser.add_argument("--shared", action="store_true", help="one set of lanes for the three engines")
    parser.add_argument("--core", action="store_true", help="the core alone, without link and command processor")
    parser.add_argument("--autapse", action="store_true", help="a chip with an autapse core of so many units")
    parser.add_argument("--target", choices=TARGETS, default="ecp5-85f")
    parser.add_argument("--seed", type=int, default=1, help="of the placement")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--bitstream", type=Path, help="write the configuration of an up5k to this file; the line's "
                                                       "bytes are on pins that the placer chose")
    parser.add_argument("--keep", type=Path, help="keep netlist and logs in this folder")
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args(arguments)
    try:
        if options.bitstream and options.target != "up5k":
            raise SynthesisError("a bitstream is written for an iCE40 UP5K alone; use --target up5k")
        if options.target == "up5k" and options.core:
            raise SynthesisError("a core alone has more ports than an iCE40 UP5K has pins; leave --core out")
        if options.autapse:
            config: ChipConfig | AutapseChip = up5k_chip() if options.target == "up5k" else \
                AutapseChip(units=options.units)
        elif options.target == "up5k":
            config = up5k_config()
        else:
            config = demo_config(lanes=options.lanes, units=options.units, shared=options.shared)
        component = core_of(config) if options.core else Chip(config)
        with tempfile.TemporaryDirectory() as name:
            folder = (options.keep or Path(name)).resolve()
            folder.mkdir(parents=True, exist_ok=True)
            say = (lambda text: None) if options.quiet else (lambda text: print(text, file=sys.stderr, flush=True))
            figures = synthesise(component, folder=folder, say=say, target=options.target, seed=options.seed)
            if options.bitstream:
                pack(folder, options.bitstream)
    except (SynthesisError, ValueError, OSError) as error:
        print(f"synthesis: {error}", file=sys.stderr)
        return 2
    for name, value in figures.items():
        print(f"{name:<32}{value}")
    if options.json:
        options.json.write_text(json.dumps({"config": vars(config), "figures": figures}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
