"""Bench of a whole chip over its line: the driver's link, compiler and device against the golden model."""

import random
import sys
from pathlib import Path

import cocotb
from cocotb.task import bridge, resume
from cocotb.triggers import Timer

from autapse.sw_driver.link.bus import Bus
from autapse.sw_driver.link.host import HostLink
from bench import bench_parameters

sys.path.append(str(Path(__file__).parents[1] / "hw" / "engine"))

from core_training import train_small

PARAMETERS = bench_parameters()
CYCLE_SECONDS = 1e-6  # what the link's timers take a cycle for


class Line:
    """A transport whose bytes cross the ports of the chip, with random stalls both ways; time is simulated."""

    def __init__(self, dut, rng: random.Random, *, stall: float):
        self._dut, self._rng, self._stall = dut, rng, stall
        self._out, self._in = bytearray(), bytearray()
        self.cycles = 0

    async def start(self):
        self._dut.i_line__valid.value = 0
        self._dut.i_line__payload.value = 0
        self._dut.o_line__ready.value = 0
        self._dut.rst.value = 1
        for _ in range(3):
            await self._cycle(quiet=True)
        self._dut.rst.value = 0

    async def _cycle(self, *, quiet: bool = False):
        dut = self._dut
        dut.clk.value = 0
        offer = bool(self._out) and not quiet and self._rng.random() >= self._stall
        take = not quiet and self._rng.random() >= self._stall
        dut.i_line__valid.value, dut.o_line__ready.value = int(offer), int(take)
        if offer:
            dut.i_line__payload.value = self._out[0]
        await Timer(1, "ns")
        if offer and dut.i_line__ready.value:
            del self._out[0]
        if take and dut.o_line__valid.value:
            self._in.append(int(dut.o_line__payload.value))
        dut.clk.value = 1
        await Timer(1, "ns")
        self.cycles += 1
        assert self.cycles < PARAMETERS["limit"], f"watchdog: not done after {self.cycles} cycles"

    async def _advance(self, cycles: int):
        """At least a few cycles, so that time passes; then on until a byte has come."""
        for count in range(max(cycles, 1)):
            await self._cycle()
            if self._in and count >= 15:
                return

    def clock(self) -> float:
        return self.cycles * CYCLE_SECONDS

    def read(self, count: int, timeout: float) -> bytes:
        resume(self._advance)(round(timeout / CYCLE_SECONDS))
        content = bytes(self._in[:count])
        del self._in[:count]
        return content

    def write(self, content: bytes):
        self._out += content

    def close(self):
        """Nothing to give back."""


@cocotb.test()
async def training_over_the_line_is_the_golden_models(dut):
    line = Line(dut, random.Random(PARAMETERS["seed"]), stall=PARAMETERS["stall"])
    await line.start()

    def train():
        return train_small(Bus(HostLink(line, poll=0.01, clock=line.clock)), seed=PARAMETERS["seed"])

    counters = await bridge(train)()
    dut._log.info(f"{line.cycles} cycles, {counters}")
