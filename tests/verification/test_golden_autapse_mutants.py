"""The comparison with rational arithmetic notices a golden model of autapse networks that is wrong in one place."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from autapse.hw.contract.autapse_edges import convolution_edges, reservoir_edges
from autapse.verification.golden import autapse, autapse_passes, model
from test_golden_autapse import SEED, build, compare

MUTANTS = [
    (autapse_passes, "self._rnd(v * self._leak)", "v * self._leak"),
    (autapse_passes, "v = v if network.carry else None", "v = None"),
    (autapse_passes, "now.masked_fill(fired, 0.0)", "now"),
    (autapse_passes, "line[:, :network.nodes] = line[:, network.nodes:]", "pass"),
    (autapse_passes, "self._rnd(odd_sum(into, products))", "odd_sum(into, products)"),
    (autapse_passes, "self._rnd(e - gate * later)", "e"),
    (autapse_passes, "leak if self._network.soft else", ""),
    (autapse_passes, "leak.masked_fill_(s[:, n].bool(), 0.0)", "leak"),
    (autapse_passes, "edges.index_add_(0, index, _units(", "edges.index_copy_(0, index, _units("),
    (autapse_passes, "_units((x * first).sum(dim=0)).sum()", "_units((x * first).sum(dim=0))[0]"),
    (autapse_passes, "< network.half_width", "<= network.half_width"),
    (autapse, "nearest[node] >= starts[-1]", "nearest[node] > starts[-1]"),
]


def cases():
    """Networks that together use every rule."""
    edges, count = reservoir_edges(6, (1, 2, 5), recurrent=False, time_invariant=True)
    for soft in (False, True):
        network = build(edges, count, inputs=3, input_nodes=6, read_from=0, leak=0.5, soft=soft, half_width=1.0)
        for seed in (SEED + 10, SEED + 11, SEED + 12):
            yield network, edges, seed
    for carry in (False, True):
        edges, count = reservoir_edges(5, (1, 3, 5))
        network = build(edges, count, inputs=2, input_nodes=5, read_from=0, leak=0.7, recurrent=True, carry=carry)
        yield network, edges, SEED
    edges, count = convolution_edges(3, 4, (1, 2))
    network = build(edges, count, inputs=12, input_nodes=12, read_from=12, pixel=True)
    for seed in (SEED, SEED + 1):
        yield network, edges, seed


def survives():
    for network, edges, seed in cases():
        try:
            compare(network, edges, seed, coarse=seed % 2 == 0)
        except (AssertionError, RuntimeError):
            return False
    return True


def test_the_right_one_survives():
    assert survives()


@pytest.mark.parametrize("module,right,wrong", MUTANTS)
def test_a_wrong_one_does_not(monkeypatch, tmp_path, module, right, wrong):
    text = Path(module.__file__).read_text(encoding="utf-8")
    assert right in text
    path = tmp_path / "mutant.py"
    path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    spec = spec_from_file_location(f"{module.__package__}.mutant", path)
    mutant = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, mutant)     # dataclasses look there
    spec.loader.exec_module(mutant)
    if module is autapse_passes:
        mutant.Autapse = autapse.Autapse
        monkeypatch.setattr(model, "AutapsePasses", mutant.AutapsePasses)
    else:
        monkeypatch.setattr(autapse_passes, "runs_of", mutant.runs_of)
    assert not survives()
