"""An FTDI chip's asynchronous FIFO for cocotb benches: its timing in nanoseconds, and what it minds."""

import random
from collections import deque

import cocotb
from cocotb.triggers import Edge, FallingEdge, RisingEdge, Timer
from cocotb.utils import get_sim_time


class FtdiChip:
    """Offers the bytes of `there` and takes those that are written into `back`.

    Outputs come 1 to 14 ns after a strobe; RXF# and TXE# rest for 49 ns behind it, and longer where `busy`. A strobe
    below 30 ns, one that was not allowed, data that do not stand from 5 ns before WR# falls to 5 ns behind it, and two
    that drive the bus at once, fail the bench.
    """

    def __init__(self, dut, *, busy: float = 0.0):
        self.dut, self.busy = dut, busy
        self.there: deque[int] = deque()
        self.back: list[int] = []
        self._changed = 0.0     # when the bus last changed from the other side
        self._driving = False
        dut.i_rxf.value = dut.i_txe.value = 1
        dut.i_data.value = random.getrandbits(8)
        for task in (self._offer(), self._take(), self._watch(dut.o_data), self._watch(dut.o_drive), self._clashes(),
                     self._forbid(dut.o_rd, dut.i_rxf, "RD#"), self._forbid(dut.o_wr, dut.i_txe, "WR#")):
            cocotb.start_soon(task)

    async def _pause(self):
        await Timer(round(49 + (random.random() * 600 if random.random() < self.busy else 0)), "ns")

    async def _late(self):
        await Timer(random.randint(1, 14), "ns")

    async def _watch(self, handle):
        while True:
            await Edge(handle)
            self._changed = get_sim_time("ns")

    async def _clashes(self):
        while True:
            await RisingEdge(self.dut.o_drive)
            assert not self._driving, "both ends drive the bus"

    async def _offer(self):
        dut = self.dut
        while True:
            while not self.there:
                await Timer(20, "ns")
            dut.i_rxf.value = 0
            await FallingEdge(dut.o_rd)
            begin = get_sim_time("ns")
            assert not int(dut.o_drive.value), "RD# while the bus is driven"
            self._driving = True
            await self._late()
            dut.i_data.value = self.there.popleft()
            await RisingEdge(dut.o_rd)
            assert get_sim_time("ns") - begin >= 30, f"RD# was low for {get_sim_time('ns') - begin} ns"
            await self._late()
            dut.i_rxf.value = 1
            dut.i_data.value = random.getrandbits(8)
            self._driving = False
            await self._pause()

    async def _take(self):
        dut = self.dut
        while True:
            await self._pause()
            dut.i_txe.value = 0
            await FallingEdge(dut.o_wr)
            begin = get_sim_time("ns")
            assert int(dut.o_drive.value) and begin - self._changed >= 5, "no data before WR#"
            self.back.append(int(dut.o_data.value))
            await Timer(5, "ns")
            assert self._changed < begin, "data changed at WR#"
            await Timer(random.randint(1, 9), "ns")
            dut.i_txe.value = 1
            await RisingEdge(dut.o_wr)
            assert get_sim_time("ns") - begin >= 30, f"WR# was low for {get_sim_time('ns') - begin} ns"

    async def _forbid(self, strobe, flag, name):
        while True:
            await FallingEdge(strobe)
            assert not int(flag.value), f"{name} while it was not allowed"
