"""Every component of the engines in Verilator and Icarus against its model, and every bench against faults."""

from pathlib import Path

import pytest

from bench import SIMULATORS, run_bench
from engine_parts import bank

HERE = Path(__file__).parent

# Bench, the bank of components it needs, and its seed.
BENCHES = {"memories": ("memories", 71), "order": ("order", 73), "sums": ("sums", 79),
           "registers": ("memories", 83), "sequence": ("runs", 107), "bus": ("runs", 109),
           "update": ("update", 89), "gradient": ("update", 97), "events": ("events", 97),
           "walk": ("events", 101), "history": ("events", 103),
           "mesh_rows": ("mesh", 113), "mesh_gate": ("mesh", 127), "mesh_mirror": ("mesh", 131),
           "mesh_parts": ("mesh", 137)}


def simulate(name: str, *, sim: str, faults: bool, cycles: int):
    parts, seed = BENCHES[name]
    parameters = {"seed": seed, "faults": faults, "cycles": cycles}
    run_bench(bank(parts), name=f"bank_{parts}", module=HERE / f"bench_{name}.py", sim=sim, parameters=parameters,
              seed=seed)


@pytest.mark.parametrize("sim", SIMULATORS)
@pytest.mark.parametrize("name", BENCHES)
def test_component(name, sim):
    # Faults are tried in the faster simulator only; what they test is the bench, which is the same in both.
    simulate(name, sim=sim, faults=sim == "verilator", cycles=1200)
