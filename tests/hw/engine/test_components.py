"""Every component of the engines in Verilator and Icarus against its model, and every bench against faults."""

from pathlib import Path

import pytest

from bench import SIMULATORS, run_bench
from engine_parts import bank

HERE = Path(__file__).parent

# Bank of components, with its bench and seed.
BENCHES = {"memories": ("memories", 71), "registers": ("registers", 83), "order": ("order", 73), "sums": ("sums", 79),
           "sequence": ("sequence", 107), "bus": ("bus", 109),
           "update": ("update", 89), "lent": ("update", 89), "gradient": ("gradient", 97), "events": ("events", 97),
           "walk": ("walk", 101), "history": ("history", 103),
           "mesh_rows": ("mesh_rows", 113), "mesh_gate": ("mesh_gate", 127), "mesh_mirror": ("mesh_mirror", 131),
           "mesh_cores": ("mesh_parts", 137)}


def simulate(name: str, *, sim: str, faults: bool, cycles: int):
    bench, seed = BENCHES[name]
    # Icarus takes twenty times as long for a cycle of an optimiser: fewer groups there.
    parameters = {"seed": seed, "faults": faults, "cycles": cycles, "bank": name,
                  "groups": 40 if sim == "verilator" else 14}
    run_bench(bank(name), name=f"bank_{name}", module=HERE / f"bench_{bench}.py", sim=sim, parameters=parameters,
              seed=seed)


@pytest.mark.parametrize("sim", SIMULATORS)
@pytest.mark.parametrize("name", BENCHES)
def test_component(name, sim):
    # Faults are tried in the faster simulator only; what they test is the bench, which is the same in both.
    simulate(name, sim=sim, faults=sim == "verilator", cycles=1200)
