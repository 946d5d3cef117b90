"""The corners of the rules, one by one, on numbers that can be checked by hand."""

import re

import numpy as np
import pytest
from amaranth.hdl import Module, Signal

from autapse.hw.engine.loss import MeanSquaredError
from autapse.hw.engine.optimiser import MomentumDescent
from autapse.hw.neuron.lif import LIFForward
from autapse.hw.neuron.lif_backward import LIFBackward
from autapse.hw.neuron.pipeline import delay

LARGEST = 65504.0


def word(number: float) -> int:
    half = np.float16(number)
    assert float(half) == number
    return int(half.view(np.uint16))


def forward(*, membrane: float, threshold: float, half_width_log=-1, spiking=True, **changes):
    """A step from rest whose sum is the membrane."""
    operands = {
        "sum": int(membrane * 2**24), "leak": 0, "start": False, "decay": word(0.5), "threshold": word(threshold),
        "half_width_log": half_width_log, "spiking": spiking, "soft": False, "strict": False,
    }
    return LIFForward().compute(**operands | changes)


def backward(**changes):
    """A step with e = 2 - 0.5·1·4 = 0 and a leak of 0.5·4 = 2."""
    operands = {
        "sum": 2 << 48, "has_sum": True, "error": 0, "use_error": False, "next": word(4.0), "start": False,
        "membrane": word(1.0), "spike": False, "mask": True, "decay": word(0.5), "threshold": word(8.0),
        "height_log": 3, "spiking": True, "soft": False, "detach": False,
    }
    return LIFBackward().compute(**operands | changes)


def descent(**changes):
    """W = 1, R = 0, no momentum, G = 3, B = 2, η = 0.5, k = 0 and S = 1: p = 0.75·2^10."""
    operands = {
        "sum": 3 << 24, "weight": word(1.0), "remainder": 0, "momentum": word(8.0), "momentum_factor": word(0.5),
        "inverse_batch": word(0.5), "rate": word(0.5), "gradient_log": 0, "step_log": 10, "use_momentum": False,
    }
    return MomentumDescent().compute(**operands | changes)


def test_on_the_threshold_only_the_loose_comparison_spikes():
    assert forward(membrane=1.5, threshold=1.5).spike == 1
    assert forward(membrane=1.5, threshold=1.5, strict=True).spike == 0
    assert forward(membrane=0.0, threshold=-0.0).spike == 1


@pytest.mark.parametrize(("membrane", "mask"), [(1.0, 0), (1.0 + 2**-10, 1), (2.0 - 2**-10, 1), (2.0, 0)])
def test_the_rim_of_the_mask_is_outside(membrane, mask):
    assert forward(membrane=membrane, threshold=1.5).mask == mask


def test_resets():
    assert forward(membrane=3.0, threshold=1.0).leak == word(0.0)
    assert forward(membrane=3.0, threshold=1.0, soft=True).leak == word(1.0)
    assert forward(membrane=3.0, threshold=1.0, spiking=False) == (word(3.0), 0, 0, word(1.5), False)


def test_leak_counts_but_at_the_start():
    assert forward(membrane=1.0, threshold=9.0, leak=word(2.0)).membrane == word(3.0)
    assert forward(membrane=1.0, threshold=9.0, leak=word(2.0), start=True).membrane == word(1.0)


def test_membrane_saturates_and_says_so():
    result = forward(membrane=65520.0, threshold=9.0)
    assert result.membrane == word(LARGEST) and result.overflow
    assert not forward(membrane=65519.0, threshold=9.0).overflow


def test_new_state_of_the_last_step_raises_nothing():
    overflowing = {"membrane": LARGEST, "threshold": -LARGEST, "soft": True}
    assert forward(**overflowing).overflow
    assert not forward(**overflowing, last=True).overflow


def test_backward_hard_and_soft():
    assert backward() == (word(2.0), False)
    assert backward(spike=True) == (word(0.0), False)
    # Soft: e = 2 - 0.5·8·4 = -14, d = 8·-14 + 2, spike or not.
    assert backward(soft=True, spike=True) == (word(-110.0), False)
    assert backward(detach=True) == (word(18.0), False)


def test_masked_error_neither_matters_nor_overflows():
    masked = {"mask": False, "sum": 1 << 80, "membrane": word(LARGEST), "decay": word(2.0), "next": word(1.0)}
    assert backward(**masked) == (word(2.0), False)
    assert backward(**masked | {"mask": True}).overflow


def test_leak_of_a_neuron_that_spiked_raises_nothing():
    saturating = {"decay": word(2.0), "next": word(LARGEST), "mask": False}
    assert backward(**saturating) == (word(LARGEST), True)
    assert backward(**saturating, spike=True) == (word(0.0), False)


def test_sources_of_the_error():
    assert backward(detach=True, use_error=True, error=word(1.0)).error == word(10.0)
    assert backward(detach=True, has_sum=False).error == word(2.0)
    assert backward(spiking=False, spike=True, mask=False).error == word(4.0)
    assert backward(detach=True, start=True).error == word(16.0)


def test_update_and_its_remainder():
    assert descent() == (word(0.25), 0, word(1.5), False)
    # Momentum 0.5·8 + 1.5 = 5.5: the step is 2.75.
    assert descent(use_momentum=True) == (word(-1.75), 0, word(5.5), False)
    # A step of 2^-14 is an eighth of the grid of 1.0 and stays in the remainder, times 2^10.
    assert descent(rate=word(2.0**-13), gradient_log=-1, step_log=10, sum=4 << 24)[:2] == (word(1.0), word(-(2.0**-3)))


def test_saturated_weight_keeps_what_is_left_over():
    # x = 65504 + 64: the weight stays, 64·2^10 is too large for a remainder.
    result = descent(weight=word(LARGEST), sum=-(1 << 24), rate=word(64.0), gradient_log=1)
    assert result == (word(LARGEST), word(LARGEST), word(-1.0), True)
    # x = 65504 + 17 saturates the weight alone.
    result = descent(weight=word(LARGEST), sum=-(1 << 24), rate=word(17.0), gradient_log=1)
    assert result == (word(LARGEST), word(17.0 * 1024), word(-1.0), True)


@pytest.mark.parametrize(("build", "complaint"), [
    (lambda: LIFForward(width=4), "LIFForward width must be 12 to 128, not 4"),
    (lambda: LIFBackward(fraction=61), "LIFBackward fraction must be 24 to 60, not 61"),
    (lambda: forward(membrane=1.0, threshold=1.0, half_width_log=16), "half_width_log must be -16 to 15, not 16"),
    (lambda: forward(membrane=2.0**30, threshold=1.0), "sum 18014398509481984 does not fit 52 bits; use a wider unit"),
    (lambda: backward(height_log=24), "height_log must be -16 to 23, not 24"),
    (lambda: delay(Module(), Signal(), -1), "A delay must be at least 0 cycles, not -1"),
    (lambda: MeanSquaredError(width=17), "MeanSquaredError width must be 18 to 128, not 17"),
    (lambda: MomentumDescent(width=129), "MomentumDescent width must be 12 to 128, not 129"),
    (lambda: descent(step_log=41), "step_log must be -40 to 40, not 41"),
])
def test_bad_operands_are_named(build, complaint):
    with pytest.raises(ValueError, match=f"^{re.escape(complaint)}$"):
        build()
