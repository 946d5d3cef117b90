"""Bench of the top of a board over its pins: the driver's own link over either kind of line, and the lights."""

import sys
from pathlib import Path

import cocotb
from cocotb.task import bridge, resume
from cocotb.triggers import Timer

from autapse.sw_driver.link.bus import Bus
from autapse.sw_driver.link.host import HostLink
from bench import bench_parameters
from ftdi_chip import FtdiChip
from serial_line import FarEnd

sys.path.append(str(Path(__file__).parents[1] / "hw" / "engine"))

from core_training import train_small

PARAMETERS = bench_parameters()
CYCLE_SECONDS = 1e-6  # what the link's timers take a cycle for
IDLE, TRAINING, ERROR = 1, 2, 8


class Serial:
    """The far end of the serial pins, stepped a cycle at a time."""

    half_ps = 1000      # of a cycle: no one minds

    def __init__(self, dut):
        self._dut, self._far = dut, FarEnd(PARAMETERS["cycles_per_bit"])
        self.heard, self.items = self._far.heard, self._far.items
        dut.i_rx.value = 1

    def speak(self):
        self._dut.i_rx.value = self._far.speak()

    def hear(self):
        self._far.hear(int(self._dut.o_tx.value))

    def damage(self):
        """Sends a byte whose stop bit is missing."""
        self._far.broken = True
        self._far.items.append(0x55)


class Fifo:
    """An FTDI chip at the pins of the parallel line, which has a time of its own."""

    half_ps = 6250      # of a cycle at 80 MHz

    def __init__(self, dut):
        chip = FtdiChip(dut, busy=0.1)
        self.heard, self.items = chip.back, chip.there

    def speak(self):
        """It does by itself."""

    def hear(self):
        """So it does."""

    def damage(self):
        """Sends a frame that is none."""
        self.items.extend(b"\x7e12345678\x7e")


class Pins:
    """A transport over the line's pins of a board's top; time is simulated."""

    def __init__(self, dut):
        self._dut, self.far, self.cycles, self.lights = dut, (Fifo if PARAMETERS["fifo"] else Serial)(dut), 0, set()

    async def start(self):
        self._dut.rst.value = 1
        for _ in range(3):
            await self.cycle()
        self._dut.rst.value = 0

    async def cycle(self):
        dut = self._dut
        dut.clk.value = 0
        self.far.speak()
        await Timer(self.far.half_ps, "ps")
        self.far.hear()
        self.lights.add(int(dut.o_lights.value))
        dut.clk.value = 1
        await Timer(self.far.half_ps, "ps")
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
async def a_board_answers_over_its_line(dut):
    pins = Pins(dut)
    await pins.start()
    for _ in range(10):
        await pins.cycle()
    assert int(dut.o_lights.value) == IDLE

    def talk():
        # A byte of a serial line takes seven times as many cycles as one of a FIFO.
        return train_small(Bus(HostLink(pins, poll=0.05, clock=pins.clock)), seed=PARAMETERS["seed"],
                           overlapped=PARAMETERS["fifo"])

    counters = await bridge(talk)()
    dut._log.info(f"{pins.cycles} cycles, {counters}")
    assert any(lights & TRAINING for lights in pins.lights), "no light for training"
    assert not any(lights & ERROR for lights in pins.lights), "a light for an error that was none"
    pins.far.damage()
    for _ in range(1500):
        await pins.cycle()
    assert int(dut.o_lights.value) & ERROR, "no light for a damaged byte"
