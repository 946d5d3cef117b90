"""A whole chip over its line in Verilator and Icarus, with the driver's own link and device."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("amaranth")

from autapse.gateware.chip import Chip
from bench import SIMULATORS, run_bench

ENGINE = Path(__file__).parents[1] / "hw" / "engine"
sys.path.append(str(ENGINE))

from core_training import CONFIGS  # noqa: E402


@pytest.mark.parametrize("sim", SIMULATORS)
def test_chip_trains_as_the_golden_model(sim):
    bench = Path(__file__).with_name("bench_chip.py")
    run_bench(Chip(CONFIGS["batch"]), name="chip_2x1", module=bench, sim=sim, seed=97,
              parameters={"seed": 97, "stall": 0.1 if sim == "verilator" else 0.0, "limit": 200_000})
