"""The comparison with rational arithmetic notices a golden model, of either kernel, that is wrong in one place."""

import functools
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import numpy as np
import pytest

from autapse.verification.golden import model, neurons, optimiser, passes
from kernel_mutation import compiled, golden_with
from side_by_side import pair, step_both

SEED = 8128

# (module, right, wrong): each `right` must stand in the source.
MUTANTS = [
    (neurons, "u >= threshold", "u > threshold"),
    (neurons, "torch.lt(", "torch.le("),
    (neurons, "u.masked_fill(fired, 0.0)", "u"),
    (neurons, "rnd(u - threshold * s[t])", "(u - threshold * s[t])"),
    (neurons, "rnd(v * self.decay)", "v * self.decay"),
    (neurons, "leak.masked_fill_(s[t].bool(), 0.0)", "leak"),
    (neurons, "leak if layer.soft else leak.masked_fill_", "leak.masked_fill_"),
    (neurons, "rnd(leak if layer.soft", "(leak if layer.soft"),
    (neurons, "error[t] + rnd(later * self.decay)", "error[t] + later * self.decay"),
    (neurons, "e = rnd(e - gate * later)", "e = e + 0.0"),
    (neurons, "e = rnd(e - gate * later)", "e = e - gate * later"),
    (neurons, "self.threshold if layer.soft else u[t]", "u[t]"),
    (neurons, "not layer.detach", "layer.detach"),
    (neurons, "0.5 / layer.half_width", "1.0 / layer.half_width"),
    (passes, "exact_dot(d, weight)", "self._rnd(d.unsqueeze(2) * weight).sum(dim=1)"),
    (passes, "odd_sum(upper - targets, lower)", "upper - targets"),
    (passes, "some_d.sum(dim=0)", "some_d[0]"),
    (
        optimiser,
        "rnd(rnd(m * rates.momentum).add_(rnd(g * rates.share)))",
        "rnd((m * rates.momentum).add_(g * rates.share))",
    ),
    (optimiser, "rnd(m * rates.rate).sub_(r)", "rnd(m * rates.rate)"),
    (optimiser, "rnd(m * rates.rate).sub_(r)", "(m * rates.rate).sub_(r)"),
    (optimiser, "x.sub_(w).mul_(2.0**10)", "x.sub_(w)"),
]

# (right, wrong) in the sources of the C++ kernel.
KERNEL_MUTANTS = [
    ("(x + shift) - shift", "x"),
    ("u[j] >= threshold[j]", "u[j] > threshold[j]"),
    ("< half_width", "<= half_width"),
    ("u[j - n] * (1 - s[j - n])", "u[j - n]"),
    ("rnd(u[j - n] - threshold[j] * s[j - n], peak)", "u[j - n] - threshold[j] * s[j - n]"),
    ("rnd(v[j] * decay[j], peak)", "v[j] * decay[j]"),
    ("d[j] + rnd(later[j] * decay[j], peak)", "d[j] + later[j] * decay[j]"),
    ("layer.soft ? layer.threshold : u", "u"),
    ("reset = layer.soft ? 0 : 1", "reset = 1"),
    ("(gate[j] * m[j] * decay[j], peak) * later[j]", "(gate[j] * m[j] * decay[j], peak) * 0"),
    ("odd_sum(upper - target[k], lower)", "upper - target[k]"),
    ("rnd(m[k] * momentum, peak) + rnd(g * share, peak)", "m[k] * momentum + g * share"),
    ("- r[k]) * 0x1p-10", ") * 0x1p-10"),
    ("(x - y) * 0x1p10", "(x - y)"),
]


class Mutant(SourceFileLoader):
    """Loads a copy of a module with one change in its source."""

    def __init__(self, module, right, wrong):
        super().__init__(module.__name__, module.__file__)
        self.right, self.wrong = right, wrong

    def get_code(self, fullname):
        source = self.get_source(fullname)
        assert self.right in source, f"{fullname} no longer has {self.right!r}"
        return self.source_to_code(source.replace(self.right, self.wrong, 1).encode(), self.path)


def mutated(module, right, wrong):
    """Makes Golden from copies of the sources with one change."""
    copies = {}
    for part in (model, passes, neurons, optimiser):
        loader = Mutant(part, right, wrong) if part is module else Mutant(part, "", "")
        copies[part] = module_from_spec(spec_from_loader(part.__name__, loader))
        loader.exec_module(copies[part])
    copies[model].TorchPasses, copies[model].Parameter = copies[passes].TorchPasses, copies[optimiser].Parameter
    copies[passes].Neurons = copies[neurons].Neurons
    return functools.partial(copies[model].Golden, kernel="torch")


def differs(make):
    """Whether some small training run of the model that `make` makes differs from rational arithmetic."""
    for seed in range(SEED, SEED + 12):
        print("seed", seed)
        rng = np.random.default_rng(seed)
        # Large numbers overflow; coarse ones meet the threshold and the edge of the mask exactly.
        kind = [{"spread": 8}, {"coarse": True}, {"spread": 2}, {"gain": 2.0**12, "half_width": 2.0**15}][seed % 4]
        goldens, chip = pair(
            rng, (5, 4, 3), steps=3, scale=64.0, k=3, soft=seed % 3 == 1, detach=seed % 5 == 4, strict=False,
            readout="membrane" if seed % 2 else "spikes", vector=seed % 4 > 1, models=[make], **kind,
        )  # fmt: skip
        try:
            for _ in range(2):
                step_both(goldens, chip, rng, batch=2, sizes=(5, 4, 3), rate=0.3, momentum=0.9)
        except AssertionError:
            return True
    return False


def test_the_right_models_do_not_differ(monkeypatch, tmp_path):
    assert not differs(functools.partial(model.Golden, kernel="torch"))
    assert not differs(golden_with(compiled(tmp_path), monkeypatch))


@pytest.mark.parametrize("right,wrong", KERNEL_MUTANTS, ids=[f"{right} -> {wrong}" for right, wrong in KERNEL_MUTANTS])
def test_a_wrong_kernel_differs(right, wrong, monkeypatch, tmp_path):
    assert differs(golden_with(compiled(tmp_path, right, wrong), monkeypatch))


@pytest.mark.parametrize("module,right,wrong", MUTANTS, ids=[f"{right} -> {wrong}" for _, right, wrong in MUTANTS])
def test_a_wrong_model_differs(module, right, wrong):
    assert differs(mutated(module, right, wrong))
