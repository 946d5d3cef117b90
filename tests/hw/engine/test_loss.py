"""Mean squared error: ``compute`` against rational numbers, gateware against ``compute``."""

import sys
from pathlib import Path

import pytest

from autapse.hw.engine.loss import MeanSquaredError
from bench import SIMULATORS, run_bench

NEURON = Path(__file__).parents[1] / "neuron"
sys.path.append(str(NEURON))

from unit_operands import items, unit_name  # noqa: E402
from unit_oracle import mean_squared_error  # noqa: E402

SEED = 59


@pytest.mark.parametrize("width", [52, 35, 71])
def test_compute_is_the_rule(width):
    unit = MeanSquaredError(width=width)
    for number, item in enumerate(items(unit, count=6000, seed=SEED)):
        assert unit.compute(**item) == mean_squared_error(**item), f"item {number}, seed {SEED}: {item}"


def test_exact_readout_is_not_rounded_alone():
    # 4097 spikes over 4096 steps: rounded alone y would lose its last spike, and the residual with it.
    one_4096th, one = 0x0C00, 0x3C00
    result = MeanSquaredError().compute(readout=4097 << 24, inverse_steps=one_4096th, target=one, gain=one)
    assert result == (one_4096th, False)


@pytest.mark.parametrize("sim", SIMULATORS)
@pytest.mark.parametrize("width", [52, 35])
def test_unit(width, sim):
    unit = MeanSquaredError(width=width)
    parameters = {
        "unit": "MeanSquaredError", "arguments": {"width": width}, "count": 4000, "gap": 0.25, "seed": SEED,
    }
    run_bench(
        unit.create(), name=unit_name(unit), module=NEURON / "bench_units.py", sim=sim, parameters=parameters, seed=SEED
    )
