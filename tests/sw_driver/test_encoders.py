"""Encoders against their definitions, spelled out with rational numbers."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest

import autapse as ap
from autapse.sw_driver import encode as module
from autapse.sw_driver.encode import delta, encode, latency, quantise, rate, threshold


@pytest.mark.parametrize(("full", "steps", "phase"), [(16, 8, 0.0), (255, 5, 0.0), (7, 13, 0.5), (255, 1, 0.999)])
def test_rate_is_the_definition(full, steps, phase):
    values = np.arange(full + 1)[None]
    shift = Fraction(int(phase * full), full)
    spikes = rate(values, full=full, steps=steps, phase=phase)
    assert spikes.shape == (1, steps, full + 1) and spikes.dtype == np.uint8
    for value in range(full + 1):
        p = Fraction(value, full)
        want = [int(floor((t + 1) * p + shift) > floor(t * p + shift)) for t in range(steps)]
        assert spikes[0, :, value].tolist() == want


def test_rate_counts_are_exact_where_a_float_would_slip():
    # 255 · (1/255 in float64, added up) falls short of 1.
    assert rate(np.array([[1]]), full=255, steps=255).sum() == 1
    assert rate(np.array([[255]]), full=255, steps=9).sum() == 9


def test_spread_phases_differ_and_keep_the_rate():
    values = np.full((1, 50), 64)
    spikes = encode("rate-spread", values, full=256, steps=8)
    assert (spikes.sum(axis=1) == 2).all()
    assert len({tuple(row) for row in spikes[0].T}) == 4


def test_latency_is_earlier_for_more():
    spikes = latency(np.array([[0, 1, 128, 254, 255]]), full=255, steps=7)
    assert spikes.sum(axis=1).tolist() == [[0, 1, 1, 1, 1]]
    assert spikes[0].argmax(axis=0).tolist() == [0, floor(Fraction(254 * 7, 255)), floor(Fraction(127 * 7, 255)), 0, 0]


def test_threshold_repeats():
    assert threshold(np.array([[7, 8, 9]]), full=16, steps=3).tolist() == [[[0, 1, 1]] * 3]


def test_spread_planes_are_the_definition():
    steps, full = 7, 255
    spikes = encode("planes-spread", np.tile(np.arange(full + 1)[:, None], 5), full=full, steps=steps)
    for i in range(5):
        phase = Fraction(i * 0x9E3779B1 % 2**32, 2**32)
        for t in range(steps):
            # As a whole number of 2^-32, like the phase.
            level = (phase + Fraction(t * 2**32 // steps, 2**32)) % 1
            assert spikes[:, t, i].tolist() == [int(Fraction(value, full) > level) for value in range(full + 1)]
    assert not spikes[0].any() and spikes[full].all()


def test_delta_follows_a_signal():
    signal = np.array([0.0, 0.4, 1.1, 3.0, 3.0, 0.0]).reshape(1, 6, 1)
    spikes = delta(signal, change=1.0)
    assert spikes[0, :, 0].tolist() == [0, 0, 1, 1, 1, 0]
    assert spikes[0, :, 1].tolist() == [0, 0, 0, 0, 0, 1]
    with pytest.raises(ap.DataError):
        delta(signal * np.nan, change=1.0)


@pytest.mark.parametrize("name", module.ENCODERS)
def test_batches_do_not_matter(name):
    rng = np.random.default_rng(5)
    print("seed 5")
    values = rng.integers(0, 256, (9, 11))
    together = encode(name, values, full=255, steps=6)
    apart = np.concatenate([encode(name, values[i:i + 1], full=255, steps=6) for i in range(9)])
    assert np.array_equal(together, apart)


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: encode("magic", np.zeros((1, 1)), full=2, steps=2),
     "there is no encoder 'magic'; known are rate, rate-spread, latency, threshold, planes, planes-spread"),
    (lambda: encode("rate", np.array([[300]]), full=255, steps=2),
     "an encoder takes whole numbers from 0 to 255 of shape (samples, inputs)"),
    (lambda: rate(np.array([[1]]), full=2, steps=2, phase=1.0),
     "the phase of the rate encoder must be from 0 to below 1 or 'spread', not 1.0"),
    (lambda: quantise(np.array([0.5, np.nan])), "intensities must be numbers from 0 to 1; rescale the data set"),
    (lambda: quantise(np.array([1.5])), "intensities must be numbers from 0 to 1; rescale the data set"),
])
def test_refusals(call, sentence):
    with pytest.raises(ap.DataError) as caught:
        call()
    assert str(caught.value) == sentence
