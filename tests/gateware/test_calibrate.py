"""The estimate beside every recorded build, and its coefficients beside what calibration makes of the records."""

import json

import pytest

pytest.importorskip("amaranth")

from autapse.gateware.calibrate import DOCS, calibrate, compare, core_figures
from autapse.gateware.room import COEFFICIENTS

pytestmark = pytest.mark.skipif(not (DOCS / "boards.json").exists(), reason="the records are in the repository alone")
MOST = {"cells": 0.10, "dsp": 0.10, "block_ram": 0.10, "Fmax (MHz)": 0.15}


def record(name: str) -> dict:
    return json.loads((DOCS / name).read_text())


def test_an_estimate_is_close_to_every_build():
    rows = [row for row in compare(record("boards.json")) if row[1] in MOST]
    assert len({board for board, *_ in rows}) >= 6
    far = [row for row in rows if abs(row[2] / row[3] - 1) > MOST[row[1]]]
    assert not far, far


def leaves(tree, path=()):
    if not isinstance(tree, dict):
        return {path: tree}
    return {end: value for name, part in tree.items() for end, value in leaves(part, (*path, name)).items()}


def test_the_coefficients_are_those_of_the_records():
    made = leaves(calibrate(record("boards.json"), record("sizes.json"), core_figures(record("synthesis.json"))))
    # Least squares differ in the last decimal from one processor to the next.
    assert leaves(json.loads(COEFFICIENTS.read_text())) == pytest.approx(made, rel=1e-3, abs=0.2)
