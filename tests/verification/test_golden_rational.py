"""The golden model against rational arithmetic: every trace and word of whole training runs, as bits."""

import numpy as np
import pytest

from side_by_side import half, pair, step_both

SEED = 20240607


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("detach", [False, True], ids=["through", "detach"])
@pytest.mark.parametrize("strict", [False, True], ids=["at", "above"])
@pytest.mark.parametrize("readout", ["spikes", "membrane"])
@pytest.mark.parametrize("vector", [False, True], ids=["layer", "neuron"])
def test_two_updates(soft, detach, strict, readout, vector):
    sizes = (5, 4, 3)
    for seed in range(SEED, SEED + 4):
        print("seed", seed)
        rng = np.random.default_rng(seed)
        goldens, chip = pair(
            rng, sizes, steps=3, scale=64.0, k=None,
            soft=soft, detach=detach, strict=strict, readout=readout, vector=vector,
        )  # fmt: skip
        for _ in range(2):
            step_both(goldens, chip, rng, batch=2, sizes=sizes, rate=0.3, momentum=0.9 if seed % 2 else 0.0)
        assert not goldens[0].overflow


@pytest.mark.parametrize("sizes,steps,batch", [((1, 1), 1, 1), ((3, 7), 2, 3), ((2, 5, 1, 6), 5, 3), ((7, 3, 5), 4, 1)])
@pytest.mark.parametrize("readout", ["spikes", "membrane"])
def test_shapes_and_exponents(sizes, steps, batch, readout):
    for number, (scale, k) in enumerate([(1.0, 0), (1024.0, 3), (0.5, 12), (2.0**14, None), (4.0, -5)]):
        seed = SEED + 100 + number
        print("seed", seed)
        rng = np.random.default_rng(seed)
        goldens, chip = pair(
            rng, sizes, steps=steps, scale=scale, k=k, half_width=2.0 ** (number - 2),
            decay_gain=-1.0 if number == 1 else 1.0, soft=number % 2 == 1, detach=False, strict=False,
            readout=readout, vector=number > 2,
        )  # fmt: skip
        for _ in range(2):
            step_both(goldens, chip, rng, batch=batch, sizes=sizes, rate=0.25, momentum=0.5)


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("detach", [False, True], ids=["through", "detach"])
@pytest.mark.parametrize("readout", ["spikes", "membrane"])
def test_overflow_is_raised_exactly_where_a_used_value_saturates(soft, detach, readout):
    sizes, seen = (4, 3, 2), set()
    for seed in range(SEED + 200, SEED + 224):
        print("seed", seed)
        rng = np.random.default_rng(seed)
        gain = 2.0 ** rng.integers(2, 15)
        goldens, chip = pair(
            rng, sizes, steps=4, scale=2.0, k=None, gain=gain, spread=2, half_width=2.0**15, decay_gain=1.7,
            soft=soft, detach=detach, strict=False, readout=readout, vector=False,
        )  # fmt: skip
        far = 2.0 ** rng.integers(-4, 15)
        step_both(goldens, chip, rng, batch=2, sizes=sizes, rate=0.5, momentum=0.5, target_gain=far)
        seen.add(goldens[0].overflow)
    assert seen == {False, True}, "the cases must lie on both sides of overflow"


def test_errors_of_each_step():
    def errors(rng, shape):
        return half(rng, shape, 12)

    for seed in range(SEED + 300, SEED + 310):
        print("seed", seed)
        rng = np.random.default_rng(seed)
        goldens, chip = pair(
            rng, (6, 5, 3), steps=3, scale=8.0, k=5, spread=20, soft=seed % 2 == 0, detach=False, strict=True,
            readout="membrane" if seed % 3 else "spikes", vector=True, half_width=2.0**-2,
        )  # fmt: skip
        for _ in range(2):
            step_both(goldens, chip, rng, batch=3, sizes=(6, 5, 3), rate=3.0, momentum=0.95, per_step=errors)
