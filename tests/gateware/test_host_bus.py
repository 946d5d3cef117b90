"""The host's bus to the cores of a mesh in Verilator and Icarus."""

from pathlib import Path

import pytest

from bench import SIMULATORS, run_bench

pytest.importorskip("amaranth")


@pytest.mark.parametrize("sim", SIMULATORS)
def test_host_bus(sim):
    from host_bus_parts import host_bank
    run_bench(host_bank(), name="bank_host", module=Path(__file__).with_name("bench_host_bus.py"), sim=sim, seed=151,
              parameters={"seed": 151, "faults": sim == "verilator"})
