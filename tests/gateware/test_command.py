"""The command processor in Verilator and Icarus."""

from pathlib import Path

import pytest

from bench import SIMULATORS, run_bench

pytest.importorskip("amaranth")


@pytest.mark.parametrize("sim", SIMULATORS)
@pytest.mark.parametrize("stall, seed", [(0.0, 11), (0.4, 12)])
def test_command_processor(stall, seed, sim):
    from autapse.gateware.command import CommandProcessor
    run_bench(CommandProcessor(), name="command", module=Path(__file__).with_name("bench_command.py"), sim=sim,
              seed=seed, parameters={"stall": stall})
