"""An interrupt at the keyboard while the bus waits: no part of an answer is lost, nothing unsent is believed sent."""

import struct

import pytest

from autapse.hw.contract.packet import Opcode
from autapse.sw_driver.link import Bus


class Line:
    """Answers every READ with words 1, 2, …; raises KeyboardInterrupt at the calls of these numbers."""

    def __init__(self, *, interrupted):
        self.interrupted, self.calls, self.sent, self.answers = set(interrupted), 0, [], bytearray()

    def _call(self):
        self.calls += 1
        if self.calls in self.interrupted:
            raise KeyboardInterrupt

    def send(self, packet):
        self._call()
        words = struct.unpack(f"<{len(packet) // 2}H", packet)
        self.sent.append(words)
        if words[0] & 0xFF == Opcode.READ:
            answer = [Opcode.READ_DATA | words[0] & 0xFF00, words[1], words[4], *range(1, words[4] + 1), 0]
            self.answers += struct.pack(f"<{len(answer)}H", *answer)

    def receive(self, count):
        self._call()
        content = bytes(self.answers[:count])
        del self.answers[:count]
        assert len(content) == count
        return content


@pytest.mark.parametrize("place", [2, 3, 4])
def test_an_answer_is_taken_up_where_it_was_left(place):
    bus = Bus(Line(interrupted=[place]))
    handle = bus.queue_read(4, 0, 5)
    with pytest.raises(KeyboardInterrupt):
        handle.result()
    assert handle.result().tolist() == [1, 2, 3, 4, 5]
    assert bus.read(4, 0, 3).tolist() == [1, 2, 3]


def test_a_selection_that_was_not_sent_is_sent_again():
    bus = Bus(Line(interrupted=[1]))
    with pytest.raises(KeyboardInterrupt):
        bus.select(0b10)
    bus.select(0b10)
    assert [words[0] & 0xFF for words in bus.link.sent] == [Opcode.SELECT]
