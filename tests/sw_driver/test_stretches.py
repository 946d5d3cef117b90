"""What of a sample goes over the line: the words that are not silent, and never more than all of them."""

import numpy as np
import pytest

from autapse.hw.contract.packet import MAX_WRITE_WORDS
from autapse.sw_driver.devices.cores import stretches


def line_words(words, parts):
    written = sum(last - first + 5 * -(-(last - first) // MAX_WRITE_WORDS) for first, last in parts)
    return written + (7 if parts != [(0, len(words))] else 0)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.2, 0.5, 1.0])
def test_what_is_not_sent_is_zero_and_it_is_never_more(share):
    source = np.random.default_rng(9)
    for _ in range(50):
        size = int(source.integers(1, 2000))
        # Silence comes in stretches, as at the borders of an image.
        loud = np.repeat(source.random(-(-size // 9)) < share, 9)[:size]
        words = (source.integers(1 << 16, size=size) * loud).astype(np.uint16)
        parts = stretches(words)
        there = np.zeros_like(words)
        for first, last in parts:
            assert 0 <= first < last <= size
            there[first:last] = words[first:last]
        np.testing.assert_array_equal(there, words)
        assert line_words(words, parts) <= line_words(words, [(0, size)]) + (0 if words.any() else 7)


def test_edges():
    assert stretches(np.zeros(40, np.uint16)) == []
    assert stretches(np.ones(40, np.uint16)) == [(0, 40)]
    one = np.zeros(400, np.uint16)
    one[[0, 5, 399]] = 7
    assert stretches(one) == [(0, 6), (399, 400)]
