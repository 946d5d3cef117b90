"""``compute`` of the LIF units against rational numbers."""

import re
from pathlib import Path

import pytest

import unit_oracle as oracle
from autapse.hw.neuron.addition import Addition
from autapse.hw.neuron.lif import LIFForward
from autapse.hw.neuron.lif_backward import LIFBackward
from unit_operands import UNITS, items

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


def test_latencies_of_the_manual():
    page = (Path(__file__).parents[3] / "docs" / "neuron.md").read_text()
    rows = re.findall(r"^\| `(\w+\(.*?\))` \| (\d+) \|", page, re.MULTILINE)
    assert len(rows) >= len(UNITS)
    for call, latency in rows:
        name, arguments = call.rstrip(")").split("(")
        pairs = (argument.split("=") for argument in arguments.split(", ") if argument)
        unit = {**UNITS, "Addition": Addition}[name](**{key: int(number) for key, number in pairs})
        assert unit.latency == int(latency), f"docs/neuron.md says {call} takes {latency} cycles, not {unit.latency}"
