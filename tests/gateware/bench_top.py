"""Bench of the top of a board over its pins: the driver's own link at a rate that the chip finds, and the lights."""

import random
import sys
from pathlib import Path

import cocotb
from cocotb.task import bridge, resume
from cocotb.triggers import Timer

from autapse.hw.contract.program import Run, Space
from autapse.hw.engine.registers import identity_words
from autapse.sw_driver.link.bus import Bus
from autapse.sw_driver.link.host import HostLink
from bench import bench_parameters
from serial_line import FarEnd

sys.path.append(str(Path(__file__).parents[1] / "hw" / "engine"))

from core_training import CONFIGS

PARAMETERS = bench_parameters()
CYCLE_SECONDS = 1e-6  # what the link's timers take a cycle for
IDLE, TRAINING, ERROR = 1, 2, 8


class Pins:
    """A transport over the serial pins of a board's top; time is simulated."""

    def __init__(self, dut):
        self._dut, self.far, self.cycles, self.lights = dut, FarEnd(PARAMETERS["cycles_per_bit"]), 0, set()

    async def start(self):
        self._dut.i_rx.value = self._dut.rst.value = 1
        for _ in range(3):
            await self.cycle()
        self._dut.rst.value = 0

    async def cycle(self):
        dut = self._dut
        dut.clk.value = 0
        dut.i_rx.value = self.far.speak()
        await Timer(1, "ns")
        self.far.hear(int(dut.o_tx.value))
        self.lights.add(int(dut.o_lights.value))
        dut.clk.value = 1
        await Timer(1, "ns")
        self.cycles += 1
        assert self.cycles < PARAMETERS["limit"], f"watchdog: not done after {self.cycles} cycles"

    async def _advance(self, cycles: int):
        for count in range(max(cycles, 1)):
            await self.cycle()
            if self.far.heard and count >= 15:
                return

    def clock(self) -> float:
        return self.cycles * CYCLE_SECONDS

    def read(self, count: int, timeout: float) -> bytes:
        resume(self._advance)(round(timeout / CYCLE_SECONDS))
        content, self.far.heard[:count] = bytes(self.far.heard[:count]), []
        return content

    def write(self, content: bytes):
        self.far.items += content

    def close(self):
        """Nothing to give back."""


@cocotb.test()
async def a_board_answers_at_the_rate_it_is_spoken_to(dut):
    pins, rng = Pins(dut), random.Random(PARAMETERS["seed"])
    await pins.start()
    for _ in range(10):
        await pins.cycle()
    assert int(dut.o_lights.value) == IDLE
    config = CONFIGS["batch"]
    words = [rng.randrange(1 << 16) for _ in range(64)]

    def talk():
        import numpy as np
        bus = Bus(HostLink(pins, poll=0.05, clock=pins.clock))
        assert list(bus.read(Space.IDENTITY, 0, len(identity_words(config)))) == identity_words(config)
        bus.write(Space.SYNAPSES, 0, np.array(words, np.uint16))
        assert list(bus.read(Space.SYNAPSES, 0, 64)) == words
        bus.sync()
        assert not any(lights & (TRAINING | ERROR) for lights in pins.lights), pins.lights
        bus.run(Run.UPDATE, 0)
        bus.sync()
        return bus

    bus = await bridge(talk)()
    assert any(lights & TRAINING for lights in pins.lights), "no light for an update"
    assert not any(lights & ERROR for lights in pins.lights), "a light for an error that was none"
    pins.far.broken = True

    def once_more():
        bus.sync()

    pins.write(b"\x7e")
    await bridge(once_more)()
    assert any(lights & ERROR for lights in pins.lights), "no light for a damaged byte"
    dut._log.info(f"{pins.cycles} cycles")
