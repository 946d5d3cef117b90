"""Which cores a bus selects, and what it sends for that."""

import struct

import numpy as np
import pytest

from autapse.hw.contract.packet import ALL_CORES, Opcode, Reason
from autapse.sw_driver.link import Bus, BusError, HostLink
from link_peer import ChipPeer, Harm

SIZES = {Opcode.READ: 5, Opcode.ECHO: 2, Opcode.SELECT: 3}


class Cores:
    """Answers reads with the number of the core they are for, after docs/link.md; `fault` answers one packet so."""

    def __init__(self):
        self.selections = []
        self.fault = None
        self.mask = ALL_CORES

    def respond(self, payload):
        words = list(struct.unpack(f"<{len(payload) // 2}H", payload))
        answer = []
        while words:
            code, tag = Opcode(words[0] & 0xFF), words[0] & 0xFF00
            packet, words = words[:SIZES[code]], words[SIZES[code]:]
            if self.fault is not None:
                answer += [Opcode.ERROR | tag, self.fault, packet[0]]
                self.fault = None
            elif code == Opcode.SELECT:
                self.mask = packet[1] | packet[2] << 16
                self.selections.append(self.mask)
            elif code == Opcode.READ:
                core = (self.mask & -self.mask).bit_length() - 1
                answer += [Opcode.READ_DATA | tag, packet[1], packet[4], *[core] * packet[4], 0]
            else:
                answer += packet
        return struct.pack(f"<{len(answer)}H", *answer)


def connect():
    cores = Cores()
    peer = ChipPeer(harm_in=Harm(seed=1), harm_out=Harm(seed=2), respond=cores.respond)
    return cores, Bus(HostLink(peer, clock=peer.clock))


def test_a_read_is_answered_by_the_lowest_core_selected():
    cores, bus = connect()
    handles = []
    for mask in (1 << 19, 0b1100, 1 << 31, ALL_CORES):
        bus.select(mask)
        handles.append(bus.queue_read(4, 0, 3))
    assert [handle.result().tolist() for handle in handles] == [[19] * 3, [2] * 3, [31] * 3, [0] * 3]
    assert cores.selections == [1 << 19, 0b1100, 1 << 31, ALL_CORES]


def test_what_is_selected_is_not_selected_again():
    cores, bus = connect()
    for mask in (ALL_CORES, 5, 5, 5, 6, 6, ALL_CORES, ALL_CORES):
        bus.select(mask)
    bus.sync()
    assert cores.selections == [5, 6, ALL_CORES]


def test_a_new_session_has_all_cores_selected():
    cores, bus = connect()
    bus.select(4)
    bus.sync()
    bus.reconnect()
    cores.mask = ALL_CORES
    bus.select(ALL_CORES)
    assert bus.read(0, 0, 1).tolist() == [0]
    bus.select(4)
    assert bus.read(0, 0, 1).tolist() == [2]
    assert cores.selections == [4, 4]


def test_what_a_dropped_packet_may_have_selected_is_selected_again():
    cores, bus = connect()
    bus.select(4)
    bus.sync()
    cores.fault = Reason.OPCODE
    bus.select(8)
    with pytest.raises(BusError, match="does not know the request"):
        bus.sync()
    bus.select(8)
    assert np.array_equal(bus.read(0, 0, 1), [3])


@pytest.mark.parametrize("mask", [0, -1, 1 << 32])
def test_no_core_is_refused(mask):
    _, bus = connect()
    with pytest.raises(ValueError, match=rf"^cores must be a mask of 1 to 32 bits that names a core, not {mask}$"):
        bus.select(mask)
