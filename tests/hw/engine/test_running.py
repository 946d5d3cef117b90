"""The running gradient in Verilator and Icarus against its model, and its benches against faults."""

from pathlib import Path

import pytest

from bench import SIMULATORS, run_bench
from running_parts import bank

HERE = Path(__file__).parent
SEEDS = {"wide": 107, "running": 109}


@pytest.mark.parametrize("sim", SIMULATORS)
@pytest.mark.parametrize("name", SEEDS)
def test_component(name, sim):
    # Faults are tried in the faster simulator only; what they test is the bench, which is the same in both.
    parameters = {"seed": SEEDS[name], "faults": sim == "verilator"}
    run_bench(bank(name), name=f"bank_{name}", module=HERE / f"bench_{name}.py", sim=sim, parameters=parameters,
              seed=SEEDS[name])
