"""Drivers, monitors and the scoreboard of benches of the network."""

import random
from collections import deque
from dataclasses import dataclass, field

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from autapse.hw.contract.noc import MeshShape, pack_header


@dataclass(eq=False)
class Packet:
    """Sent from `source`; `flits` are words with `last` in the top bit. Cycles are of handing over and of arrival."""

    source: int
    channel: int
    mask: int
    flits: list
    begun: int = -1
    sent: int = -1
    arrivals: dict = field(default_factory=dict)


class Network:
    """All ports of a `WideMesh`: packets are queued at `sources`, what arrives is compared with what was sent."""

    def __init__(self, dut, shape: MeshShape, *, channels=3, flit_bits=32, packet_flits=16, stall_in=0.0, stall_out=0.0,
                 watchdog=3000,
                 clock=True):
        self.dut, self.shape, self.channels, self.flit_bits = dut, shape, channels, flit_bits
        self.packet_flits, self.stall_in, self.stall_out, self.watchdog = packet_flits, stall_in, stall_out, watchdog
        self.places, self.clock = shape.nodes + 1, clock
        self.count = self.places * channels
        self.word = 64     # from one stream to the next
        self.queues = [deque() for _ in range(self.count)]      # of (packet, place of the flit in it)
        self.flows = {}         # (source, destination, channel): packets on their way, oldest first
        self.partial = [[] for _ in range(self.count)]
        self.outstanding = 0
        self.arrived = 0
        self.blocked = 0        # outputs that are never ready
        self.malformed = [0] * self.places
        self.cycle, self.quiet = 0, 0
        self.offered, self.serial, self.arrival = 0, 0, []
        self._held_in, self._held_out, self._words, self._ready = 0, 0, 0, 0
        self._random = random.Random(random.getrandbits(32))

    def packet(self, source, mask, flits, channel=0):
        """Queues a packet with numbered contents; it is expected once at every place of its mask."""
        nodes = self.shape.nodes
        self.serial += 1
        user_bits = self.flit_bits - nodes - 1 - 4
        header = pack_header(nodes, mask, flits - 1, self.serial & (1 << user_bits) - 1, flit_bits=self.flit_bits,
                             packet_flits=self.packet_flits)
        words = [header, *((self.serial << 6 | k) & (1 << self.flit_bits) - 1 for k in range(1, flits))]
        words[-1] |= 1 << self.flit_bits
        packet = Packet(source, channel, mask, words)
        self.queues[source * self.channels + channel].extend((packet, k) for k in range(flits))
        for place in range(self.places):
            if mask >> place & 1:
                self.flows.setdefault((source, place, channel), deque()).append(packet)
                self.outstanding += 1
        return packet

    def broken(self, source, words, channel=0):
        """Queues flits that are no packet; nothing of them may arrive."""
        words = [*words[:-1], words[-1] | 1 << self.flit_bits]
        packet = Packet(source, channel, 0, words)
        self.queues[source * self.channels + channel].extend((packet, k) for k in range(len(words)))
        self.malformed[source] += 1

    async def start(self):
        """Resets the mesh; may be called again for another network on the same one."""
        await Timer(1, "ns")    # a bench that read outputs last may not write yet
        self.dut.rst.value = 1
        for name in ("i_valid", "i_payload", "o_ready"):
            getattr(self.dut, name).value = 0
        if self.clock:
            Clock(self.dut.clk, 10, "ns").start()
        await FallingEdge(self.dut.clk)
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0

    def _drive(self):
        valid, payload = 0, 0
        for port, queue in enumerate(self.queues):
            if queue:
                if self._held_in >> port & 1 or not self.stall_in or self._random.random() >= self.stall_in:
                    packet, place = queue[0]
                    valid |= 1 << port
                    payload |= packet.flits[place] << port * self.word
                    if place == 0 and packet.begun < 0:
                        packet.begun = self.cycle
        self._held_in = valid
        ready = (1 << self.count) - 1
        if self.stall_out:
            for port in range(self.count):
                if self._random.random() < self.stall_out:
                    ready &= ~(1 << port)
        self._ready = ready & ~self.blocked
        self.dut.i_valid.value = valid
        self.dut.i_payload.value = payload
        self.dut.o_ready.value = self._ready

    def _sample(self):
        taken = self._held_in & int(self.dut.i_ready.value)
        for port in bits(taken):
            packet, place = self.queues[port].popleft()
            if place == len(packet.flits) - 1:
                packet.sent = self.cycle
        self._held_in &= ~taken
        valid = int(self.dut.o_valid.value)
        assert valid & self._held_out == self._held_out, f"cycle {self.cycle}: outputs withdrew what they offered"
        words = int(self.dut.o_payload.value) if valid else 0
        for port in bits(self._held_out):
            assert (words ^ self._words) >> port * self.word & (1 << self.word) - 1 == 0, \
                f"cycle {self.cycle}: output {port} changed what it offered"
        self.offered = valid
        moved = valid & self._ready
        for port in bits(moved):
            self._arrive(port, words >> port * self.word & (1 << self.word) - 1)
        self._held_out, self._words = valid & ~moved, words
        self.quiet = 0 if moved or taken else self.quiet + 1
        assert self.quiet < self.watchdog or not self.outstanding, f"nothing has moved for {self.quiet} cycles"

    def _arrive(self, port, word):
        partial = self.partial[port]
        if not partial:
            self.arrival.append((self.cycle, port))
        partial.append(word)
        if not word >> self.flit_bits:
            assert len(partial) < 64, f"output {port}: a packet without an end"
            return
        place, channel = divmod(port, self.channels)
        for (source, to, through), flow in self.flows.items():
            if to == place and through == channel and flow and flow[0].flits == partial:
                packet = flow.popleft()
                assert source == packet.source
                packet.arrivals[place] = self.cycle
                self.outstanding -= 1
                self.arrived += 1
                self.partial[port] = []
                return
        raise AssertionError(f"cycle {self.cycle}: place {place}, channel {channel} got what is no flow's next packet: "
                             + " ".join(f"{flit:x}" for flit in partial))

    async def step(self, cycles=1):
        for _ in range(cycles):
            await FallingEdge(self.dut.clk)
            self._drive()
            await ReadOnly()
            self._sample()
            self.cycle += 1

    async def finish(self, *, cycles=100_000, quiet=40):
        """Until all has arrived, and some cycles more: nothing may come twice."""
        end = self.cycle + cycles
        while self.outstanding or any(self.queues):
            assert self.cycle < end, f"{self.outstanding} packets are still to arrive after {cycles} cycles"
            await self.step()
        await self.step(quiet)
        assert not any(self.partial), "half a packet is left"


def bits(word):
    """Numbers of the bits set."""
    while word:
        low = word & -word
        yield low.bit_length() - 1
        word ^= low
