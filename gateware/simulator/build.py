"""Makes an executable of a chip: Amaranth, Verilog, Verilator, C++ compiler; nothing twice."""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path

import platformdirs

from ... import gateware, hw
from .cut import joined
from .outside import PIPE, Outside
from .tools import SimulatorError, find_compiler, find_verilator, output, processor, run
from .verilog import Design, verilog_of

__all__ = ["SimulatorError", "build_simulator", "cache_folder", "find_simulator"]

PLACE = Path(__file__).with_name("place.h")

# -O3 and the two x options let Verilator choose what is fastest where the design leaves values open; Amaranth's
# designs give every register its initial value. Files and functions are cut so that all processors compile.
_VERILATE = ["--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-timing", "--no-assert", "-Wno-fatal",
             "-Wno-lint", "-Wno-style", "--output-split", "20000", "--output-split-cfuncs", "2500"]
_COMPILE = ["-std=c++17", "-march=native", "-fno-stack-protector", "-fcf-protection=none", "-DVERILATOR=1",
            "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TIMING=0", "-DVM_TRACE=0", "-w"]
# Single words and branches are what a chip is made of: vectors slow it down.
_FAST, _LIBRARY, _ONCE = ["-O2", "-fno-tree-vectorize"], ["-O1"], ["-O0"]


def cache_folder() -> Path:
    """Where built simulators are kept: $AUTAPSE_CACHE, or the user's cache folder."""
    return Path(os.environ.get("AUTAPSE_CACHE") or platformdirs.user_cache_path("autapse"))


def find_simulator(recipe: str, *, cache_dir=None, outside: Outside = PIPE) -> Path | None:
    """The simulator that was built under `recipe` from the sources as they are, or None. Takes milliseconds.

    None too if a source was changed since this process started, for what is imported may be older than the file.

    Raises
    ------
    SimulatorError
        If a tool is missing.
    """
    folder = Path(cache_dir) if cache_dir is not None else cache_folder()
    entry = _entry(recipe, folder, outside)
    try:
        program = folder / entry.read_text() if entry else None
    except FileNotFoundError:
        return None
    return program if program and program.is_file() else None


def build_simulator(component, *, recipe: str | None = None, cache_dir=None, progress=None,
                    collisions: str = "old", outside: Outside = PIPE) -> Path:
    """An executable that runs `component` with its line on standard input and output, compiled or from the cache.

    The executable exits at the end of its input. It takes `--stats` (a JSON line on standard error at its end: cycles,
    seconds, and how many cycles of places of repeated modules were slept), `--flip RATE --seed N` (of bits on the
    line, both ways), `--max-idle CYCLES` and, to know what the chip costs without a line, `--bare CYCLES`. The seed is
    that of the words of `collisions` too.

    Parameters
    ----------
    component : an Amaranth component with i_line and o_line, streams of bytes, and o_busy, high while time must go on
    recipe : what decides the design beside the sources of hw and gateware, such as class and configuration; under it
        `find_simulator` finds the result again without generating the design
    cache_dir : folder of built simulators; cache_folder() if None
    progress : called as progress(sentence, fraction) from 0.0 to 1.0 as generating and building go on
    collisions : "old", or "any" for random words where a memory is read and written at once (see `verilog_of`); it
        belongs to what a recipe states
    outside : the program around it, and the ports it has; the options above are those of PIPE

    Raises
    ------
    TypeError
        If the component has other ports, or lacks one of these.
    ValueError
        If `collisions` is of no use (see `verilog_of`).
    SimulatorError
        If a tool is missing or fails.
    """
    outside.check(component)
    say = progress or (lambda sentence, fraction: None)
    folder = Path(cache_dir) if cache_dir is not None else cache_folder()
    tools = _tools(outside)
    entry = _entry(recipe, folder, outside) if recipe else None
    say("generating the chip", 0.0)
    design = verilog_of(component, collisions=collisions, outside=outside)
    program = folder / f"simulator-{_key(*design.texts.values(), _joined(design, outside), *tools)}"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="building-", dir=folder) as name:
            _compile(design, Path(name), say, outside)
            # Renaming is all or nothing: another process sees a whole simulator or none.
            os.replace(Path(name) / "chip", program)
    if entry:
        part = entry.with_name(f"building-{entry.name}-{os.getpid()}")
        part.write_text(program.name)
        os.replace(part, entry)
    say("built", 1.0)
    return program


def _joined(design: Design, outside: Outside = PIPE) -> str:
    """The C++ that joins the models; what draws random words must not sleep."""
    sleepless = frozenset(name for name, text in design.texts.items() if "$urandom" in text)
    return joined(design.cuts, sleepless=sleepless, start=outside.start)


def _compile(design: Design, work: Path, say, outside: Outside) -> None:
    """Leaves the executable of `design` as work / "chip"."""
    verilator, root = find_verilator()
    compiler = find_compiler()
    (work / "chip.h").write_text(_joined(design, outside))
    for number, (name, text) in enumerate(design.texts.items()):
        say(f"verilating, {number} of {len(design.texts)} modules", 0.25 + 0.1 * number / len(design.texts))
        (work / f"{name}.v").write_text(text)
        run([verilator, *_VERILATE, "--prefix", f"V{name}", "--top-module", name, "--Mdir", work / f"V{name}",
             work / f"{name}.v"], VERILATOR_ROOT=str(root))
    folders = [work, *(work / f"V{name}" for name in design.texts), PLACE.parent, root / "include",
               root / "include" / "vltstd"]
    flags = [*_COMPILE, *(f"-I{folder}" for folder in folders)]
    jobs = _sources(work, root, design.texts, outside.harness)
    whole = sum(size for size, _, _ in jobs)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        sizes = {pool.submit(run, [compiler, *flags, *options, "-c", source, "-o", work / f"{number}.o"]): size
                 for number, (size, source, options) in enumerate(jobs)}
        ready = 0
        try:
            for number, job in enumerate(as_completed(sizes)):
                say(f"compiling, {number} of {len(jobs)} files", 0.35 + 0.62 * ready / whole)
                job.result()
                ready += sizes[job]
        finally:
            pool.shutdown(cancel_futures=True)  # after a failure, or an interrupt, the rest is of no use
    say("linking", 0.97)
    run([compiler, *(work / f"{number}.o" for number in range(len(jobs))), "-o", work / "chip", "-pthread", "-latomic"])


def _sources(work: Path, root: Path, modules: Iterable[str],
             harness: Path) -> list[tuple[int, Path, list[str]]]:
    """(size, file, options) of all to compile: the harness, then the largest first, so that none is left for the end.

    What Verilator calls Slow runs once; as one file per module, for of small ones reading the same headers takes the
    most time.
    """
    jobs = [(harness.stat().st_size, harness, _FAST)]
    for module in modules:
        folder = work / f"V{module}"
        made = sorted(folder.glob("*.cpp"))
        slow = [source for source in made if source.stem.endswith("Slow")]
        once = folder / "once.cpp"
        once.write_text("".join(f'#include "{source.name}"\n' for source in slow))
        jobs.append((sum(source.stat().st_size for source in slow), once, _ONCE))
        jobs += [(source.stat().st_size, source, _FAST) for source in made if source not in slow]
    jobs += [((root / "include" / name).stat().st_size, root / "include" / name, _LIBRARY)
             for name in ("verilated.cpp", "verilated_threads.cpp")]
    return sorted(jobs, key=lambda job: (job[1] != harness, -job[0]))


def _tools(outside: Outside) -> list[str]:
    """What a simulator depends on beside its design."""
    verilator, compiler = find_verilator()[0], find_compiler()
    return [outside.harness.read_text(), PLACE.read_text(), output([verilator, "--version"]),
            output([compiler, "--version"]), *_VERILATE, *_COMPILE, *_FAST, *_LIBRARY, *_ONCE, processor()]


def _key(*parts: str) -> str:
    key = hashlib.sha256()
    for part in parts:
        key.update(part.encode() + b"\0")
    return key.hexdigest()[:24]


def _entry(recipe: str, folder: Path, outside: Outside) -> Path | None:
    """Where the name of the simulator built under `recipe` is kept; None if this process may be older than a source."""
    files = sorted(file for package in (gateware, hw) for place in package.__path__
                   for file in Path(place).rglob("*.py"))
    if max(file.stat().st_mtime for file in files) > _started():
        return None
    key = _key(recipe, version("amaranth"), *(file.read_text() for file in files), *_tools(outside))
    return folder / f"recipe-{key}"


def _started() -> float:
    """When this process started, in seconds of the file system's clock; 0 where that cannot be known."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return 0.0
    return time.time() - age
