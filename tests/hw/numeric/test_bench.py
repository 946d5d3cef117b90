"""The bench helper: what it refuses, what it skips, and that a second run compiles nothing."""

from pathlib import Path

import pytest

import bench
from autapse.hw.numeric.accumulator import ExactSum

BENCH = Path(__file__).with_name("bench_numeric.py")
PARAMETERS = {"unit": "ExactSum", "arguments": {"width": 47}, "count": 50}


def simulate(sim, seed=3):
    bench.run_bench(ExactSum(width=47).create(), name="sum_47", module=BENCH, sim=sim, parameters=PARAMETERS, seed=seed)


def test_unknown_simulator_wrong():
    with pytest.raises(ValueError, match=r"^Simulator must be one of verilator, icarus, not 'questa'$"):
        simulate("questa")


def test_absent_icarus_skips(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.skip.Exception, match="^Icarus Verilog is not installed"):
        simulate("icarus")


def test_absent_compiler_skips(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.skip.Exception, match=r"^Verilator (is not installed|needs perl and make and g\+\+)"):
        simulate("verilator")


def test_second_run_compiles_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "_CACHE", tmp_path)
    sim = "icarus" if bench.shutil.which("iverilog") else "verilator"
    simulate(sim)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"}
    assert any(path.name == f"{sim}.done" for path in before)
    simulate(sim, seed=4)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"}
    assert after == before


def test_environment_is_restored():
    before = dict(bench.os.environ)
    with bench._environment():
        assert bench.os.environ["MAKEFLAGS"] != before.get("MAKEFLAGS")
    assert dict(bench.os.environ) == before
