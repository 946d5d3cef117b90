"""One whole sequenced core over its bus, in Verilator and Icarus, word for word the golden model."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from autapse.hw.sequenced.core import SequencedCore
from bench import SIMULATORS, run_bench
from sequenced_network import CONFIG

BENCH = Path(__file__).with_name("bench_core_sequenced.py")


@pytest.mark.parametrize(("sim", "batches"), [("verilator", 2), ("icarus", 1)])
def test_core_trains_as_the_golden_model(sim, batches):
    assert sim in SIMULATORS
    run_bench(SequencedCore(CONFIG), name="core_sequenced", module=BENCH, sim=sim, seed=108,
              parameters={"seed": 108, "batches": batches, "gradient": "batch"})  # bench_core looks at the last one
