"""One whole core over its bus, in Verilator and Icarus, word for word the golden model."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from autapse.hw.engine.core import Core
from bench import SIMULATORS, run_bench
from core_training import CONFIGS

BENCH = Path(__file__).with_name("bench_core.py")


@pytest.mark.parametrize(("sim", "gradient", "batches"), [("verilator", "batch", 2), ("icarus", "running", 1)])
def test_core_trains_as_the_golden_model(sim, gradient, batches):
    assert sim in SIMULATORS
    run_bench(Core(CONFIGS[gradient]), name="core_2x1", module=BENCH, sim=sim, seed=91,
              parameters={"seed": 91, "gradient": gradient, "batches": batches})
