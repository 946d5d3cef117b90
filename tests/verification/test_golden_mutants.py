"""The comparison with rational arithmetic notices a golden model that is wrong in one place."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import numpy as np
import pytest

from autapse.verification.golden import model, neurons, optimiser
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
    (model, "exact_dot(d, weight)", "to_nearest(d.unsqueeze(2) * weight).sum(dim=1)"),
    (model, "odd_sum(upper - self._from_half(targets), lower)", "upper - self._from_half(targets)"),
    (model, "some_d.sum(dim=0)", "some_d[0]"),
    (optimiser, "rnd(rnd(m * momentum).add_(rnd(g * share)))", "rnd((m * momentum).add_(g * share))"),
    (optimiser, "rnd(m * rate).sub_(r)", "rnd(m * rate)"),
    (optimiser, "rnd(m * rate).sub_(r)", "(m * rate).sub_(r)"),
    (optimiser, "x.sub_(w).mul_(2.0**10)", "x.sub_(w)"),
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
    """Golden from copies of the sources with one change."""
    copies = {}
    for part in (model, neurons, optimiser):
        loader = Mutant(part, right, wrong) if part is module else Mutant(part, "", "")
        copies[part] = module_from_spec(spec_from_loader(part.__name__, loader))
        loader.exec_module(copies[part])
    copies[model].Neurons, copies[model].Parameter = copies[neurons].Neurons, copies[optimiser].Parameter
    return copies[model].Golden


def differs(golden_class):
    """Whether some small training run of the model differs from rational arithmetic."""
    for seed in range(SEED, SEED + 12):
        print("seed", seed)
        rng = np.random.default_rng(seed)
        # Large numbers overflow; coarse ones meet the threshold and the edge of the mask exactly.
        kind = [{"spread": 8}, {"coarse": True}, {"spread": 2}, {"gain": 2.0**12, "half_width": 2.0**15}][seed % 4]
        golden, chip = pair(
            rng, (5, 4, 3), steps=3, scale=64.0, k=3, soft=seed % 3 == 1, detach=seed % 5 == 4, strict=False,
            readout="membrane" if seed % 2 else "spikes", vector=seed % 4 > 1, model=golden_class, **kind,
        )  # fmt: skip
        try:
            for _ in range(2):
                step_both(golden, chip, rng, batch=2, sizes=(5, 4, 3), rate=0.3, momentum=0.9)
        except AssertionError:
            return True
    return False


def test_the_right_model_does_not_differ():
    assert not differs(model.Golden)


@pytest.mark.parametrize("module,right,wrong", MUTANTS, ids=[f"{right} -> {wrong}" for _, right, wrong in MUTANTS])
def test_a_wrong_model_differs(module, right, wrong):
    assert differs(mutated(module, right, wrong))
