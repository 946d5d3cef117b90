"""The binary16 adder: ``compute`` against rational numbers, gateware against ``compute``."""

import random
from pathlib import Path

import pytest

from autapse.hw.neuron.addition import Addition
from bench import SIMULATORS, run_bench
from unit_operands import any_word
from unit_oracle import Arithmetic, value, word

BENCH = Path(__file__).with_name("bench_addition.py")
SEED = 67


def test_compute_is_the_rule():
    rng = random.Random(SEED)
    for _ in range(20000):
        a, b = any_word(rng), any_word(rng)
        ops = Arithmetic()
        assert Addition().compute(a, b) == (word(ops.rnd(value(a) + value(b))), ops.overflow), f"{a:#06x} + {b:#06x}"


@pytest.mark.parametrize("sim", SIMULATORS)
def test_unit(sim):
    run_bench(
        Addition().create(), name="addition", module=BENCH, sim=sim, parameters={"count": 8000, "seed": SEED}, seed=SEED
    )
