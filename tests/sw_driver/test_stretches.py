"""What of a sample goes over the line: the words that are not silent, and never more than all of them."""

import numpy as np
import pytest

from autapse.hw.contract.packet import MAX_WRITE_WORDS, Opcode
from autapse.sw_driver.devices.inputs import line_words, stretches
from autapse.sw_driver.link import Bus, HostLink
from link_peer import ChipPeer, Harm


def words_of(words, parts, per_word):
    sent = [-(-(last - first) // per_word) for first, last in parts]
    return sum(part + 5 * -(-part // MAX_WRITE_WORDS) for part in sent) + (7 if parts != [(0, len(words))] else 0)


@pytest.mark.parametrize("per_word", [1, 2, 16])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.2, 0.5, 1.0])
def test_what_is_not_sent_is_zero_and_it_is_never_more(share, per_word):
    source = np.random.default_rng(9)
    for _ in range(50):
        size = int(source.integers(1, 2000))
        # Silence comes in stretches, as at the borders of an image.
        loud = np.repeat(source.random(-(-size // 9)) < share, 9)[:size]
        words = (source.integers(1 << 16, size=size) * loud).astype(np.uint16)
        parts = stretches(words, per_word=per_word)
        there = np.zeros_like(words)
        for first, last in parts:
            assert 0 <= first < last <= size
            there[first:last] = words[first:last]
        np.testing.assert_array_equal(there, words)
        assert line_words(words, per_word=per_word) == words_of(words, parts, per_word)
        assert words_of(words, parts, per_word) <= words_of(words, [(0, size)], per_word) + (0 if words.any() else 7)


def test_edges():
    assert stretches(np.zeros(40, np.uint16)) == []
    assert stretches(np.ones(40, np.uint16)) == [(0, 40)]
    one = np.zeros(400, np.uint16)
    one[[0, 5, 399]] = 7
    assert stretches(one) == [(0, 6), (399, 400)]
    assert stretches(one, per_word=16) == [(0, 6), (399, 400)]
    assert stretches(one[:390], per_word=16) == [(0, 6)] and stretches(one[300:], per_word=16) == [(0, 100)]


class Rows:
    """Keeps rows as docs/link.md says that a chip unpacks them."""

    def __init__(self, bits):
        self.bits, self.packets, self.memory = bits, 0, {}

    def respond(self, payload):
        words = np.frombuffer(payload, "<u2").tolist()
        while words[0] & 0xFF != Opcode.ECHO:
            code, space, low, high, count, *words = words
            content, words = words[:-(-count * self.bits // 16)], words[-(-count * self.bits // 16):]
            assert (code & 0xFF, space) == (Opcode.WRITE_ROWS, 4) and len(content) <= MAX_WRITE_WORDS
            self.packets += 1
            for place in range(count):
                at, shift = divmod(place * self.bits, 16)
                self.memory[low + (high << 16) + place] = content[at] >> shift & (1 << self.bits) - 1
            if not words:
                return b""
        return np.array(words, "<u2").tobytes()


@pytest.mark.parametrize("bits, count, packets", [(1, 1, 1), (1, 1969, 2), (2, 9, 1), (4, 1000, 3), (8, 247, 2)])
def test_rows_of_bits_are_packed(bits, count, packets):
    rows = np.random.default_rng(count).integers(1 << bits, size=count).astype(np.uint16)
    chip = Rows(bits)
    peer = ChipPeer(harm_in=Harm(seed=1), harm_out=Harm(seed=2), respond=chip.respond)
    bus = Bus(HostLink(peer, clock=peer.clock))
    bus.write_rows(4, 65500, rows, bits=bits)
    bus.sync()
    assert chip.packets == packets
    assert chip.memory == dict(enumerate(rows.tolist(), 65500))


def test_rows_refused():
    peer = ChipPeer(harm_in=Harm(seed=1), harm_out=Harm(seed=2), respond=lambda payload: b"")
    bus = Bus(HostLink(peer, clock=peer.clock))
    with pytest.raises(ValueError, match=r"^rows must have at most 4 bits, and one is 0x10$"):
        bus.write_rows(4, 0, np.array([3, 16], np.uint16), bits=4)
    with pytest.raises(ValueError, match=r"^bits of a row must be 1, 2, 4 or 8, not 3$"):
        bus.write_rows(4, 0, np.array([3, 1], np.uint16), bits=3)
    with pytest.raises(TypeError, match=r"^rows must be a uint16 array, not int64; view or convert it first$"):
        bus.write_rows(4, 0, np.array([3, 1]), bits=4)
