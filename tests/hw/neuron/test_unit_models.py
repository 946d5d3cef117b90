"""``compute`` of the LIF units against rational numbers."""

import pytest
import unit_oracle as oracle
from autapse.hw.neuron.lif import LIFForward
from autapse.hw.neuron.lif_backward import LIFBackward
from unit_operands import items

COUNT = 6000
SEED = 31


@pytest.mark.parametrize(("unit", "rule"), [
    (LIFForward(), oracle.lif_forward),
    (LIFForward(width=92, fraction=48), oracle.lif_forward),
    (LIFBackward(), oracle.lif_backward),
    (LIFBackward(width=61, fraction=24), oracle.lif_backward),
])
def test_compute_is_the_rule(unit, rule):
    for number, item in enumerate(items(unit, count=COUNT, seed=SEED)):
        assert unit.compute(**item) == rule(fraction=unit.fraction, **item), f"item {number}, seed {SEED}: {item}"
