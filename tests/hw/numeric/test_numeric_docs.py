"""The examples of docs/numeric.md say what the units answer, and its table what their latency is."""

import doctest
import re
from pathlib import Path

from autapse.hw.numeric.accumulator import ExactProductSum, ExactSum
from autapse.hw.numeric.multiplication import Multiplication
from autapse.hw.numeric.rounding import Rounding

PAGE = Path(__file__).parents[3] / "docs" / "numeric.md"


def test_examples():
    failures, attempts = doctest.testfile(str(PAGE), module_relative=False)
    assert attempts >= 10
    assert failures == 0


def test_latencies():
    units = {
        "Rounding(width=52, fraction=24)": Rounding(width=52, fraction=24),
        "Multiplication()": Multiplication(),
        "ExactSum()": ExactSum(),
        "ExactProductSum()": ExactProductSum(),
    }
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| (\d+) \|", PAGE.read_text(), flags=re.MULTILINE)
    stated = {name: int(latency) for name, latency in rows if name in units and not name.endswith("w)")}
    assert {name: stated.get(name) for name in units} == {name: unit.latency for name, unit in units.items()}
