"""The command of the federation's figures: every fault of its table is refused or missed, by name."""

import argparse
from dataclasses import replace

import pytest

for package in ("flwr", "torch", "sklearn"):
    pytest.importorskip(package, reason="a federation of golden models on scikit-learn's digits")


def test_every_fault_is_named_and_costs_no_byte_more():
    from autapse.verification.federated_figures import FAULTS, cases, measure
    given = argparse.Namespace(topic="faults", digits="digits:mixed")
    small = [replace(case, sizes=(64, 9, 10), steps=3, rounds=3, local_epochs=1) for case in cases(given)]
    rows = {case.name: measure(case, 1) for case in small}
    assert list(rows) == ["undisturbed", *FAULTS]
    whole = rows.pop("undisturbed")
    assert all(row["bytes"] <= whole["bytes"] and row["each"] != whole["each"] for row in rows.values())


def test_a_fault_that_nobody_notices_fails_the_figure():
    from autapse.verification.federated_figures import Case, measure
    silent = Case(name="x", data="digits:mixed", sizes=(64, 9, 10), steps=3, rounds=1, local_epochs=1,
                  changes={"guard": 0.0}, faults={1: ("random", range(1, 2))})
    with pytest.raises(AssertionError):
        measure(silent, 1)
