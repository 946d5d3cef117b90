"""Momentum descent: ``compute`` against rational numbers, gateware against ``compute``."""

import sys
from pathlib import Path

import pytest

from autapse.hw.engine.optimiser import MomentumDescent
from bench import SIMULATORS, run_bench

NEURON = Path(__file__).parents[1] / "neuron"
sys.path.append(str(NEURON))

from unit_operands import items, unit_name  # noqa: E402
from unit_oracle import momentum_descent  # noqa: E402

SEED = 61
FORMATS = [{"width": 52, "fraction": 24}, {"width": 92, "fraction": 48}]


@pytest.mark.parametrize("arguments", FORMATS)
def test_compute_is_the_rule(arguments):
    unit = MomentumDescent(**arguments)
    for number, item in enumerate(items(unit, count=6000, seed=SEED)):
        assert unit.compute(**item) == momentum_descent(fraction=unit.fraction, **item), f"item {number}: {item}"


@pytest.mark.parametrize("sim", SIMULATORS)
@pytest.mark.parametrize("arguments", FORMATS)
def test_unit(arguments, sim):
    unit = MomentumDescent(**arguments)
    parameters = {"unit": "MomentumDescent", "arguments": arguments, "count": 4000, "gap": 0.25, "seed": SEED}
    run_bench(
        unit.create(), name=unit_name(unit), module=NEURON / "bench_units.py", sim=sim, parameters=parameters, seed=SEED
    )
