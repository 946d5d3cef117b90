"""Bench of the neuron, loss and optimiser units: driver with gaps, monitor, model, checker of bits and latency."""

import random
from collections import deque

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, with_timeout

from bench import bench_parameters
from unit_operands import UNITS, items

PARAMETERS = bench_parameters()


class Driver:
    """Presents items with gaps, and random operands where nothing is valid, but for those that the unit wants held."""

    def __init__(self, dut, unit, *, gap: float):
        self._dut = dut
        self._unit = unit
        self._gap = gap
        self._rng = random.Random(PARAMETERS["seed"] + 1)
        self.sent = deque()

    async def run(self, stimuli: list[dict]):
        pending, held, rest = deque(stimuli), getattr(self._unit, "held", ()), 0
        program = {name: stimuli[0][name] for name in held}
        ports = {name: getattr(self._dut, f"i_{name}") for name in stimuli[0]}
        cycle = 0
        while pending:
            await FallingEdge(self._dut.clk)
            # What is held changes when nothing is under way.
            same = all(pending[0][name] == value for name, value in program.items())
            valid = self._rng.random() >= self._gap and (same or not rest)
            item = pending[0] if valid else self._rng.choice(stimuli) | program
            rest = self._unit.latency if valid else max(rest - 1, 0)
            for name, port in ports.items():
                port.value = int(item[name])
            self._dut.i_valid.value = valid
            if valid:
                program = {name: item[name] for name in held}
                self.sent.append((cycle, pending.popleft()))
            cycle += 1
        await FallingEdge(self._dut.clk)
        self._dut.i_valid.value = 0


class Checker:
    """Compares each result with the model, bit for bit, and its cycle with the stated latency."""

    def __init__(self, dut, unit, driver: Driver):
        self._dut = dut
        self._unit = unit
        self._driver = driver
        self.checked = 0
        self.overflows = 0

    async def run(self, count: int):
        dut = self._dut
        cycle = 0
        ports = None
        while self.checked < count:
            # Inputs of cycle n are in place before its rising edge; results of latency L are there before edge n + L.
            await RisingEdge(dut.clk)
            if not dut.o_valid.value:
                assert not dut.o_overflow.value, f"overflow without a result in cycle {cycle}"
            else:
                sent, item = self._driver.sent.popleft()
                assert cycle == sent + self._unit.latency, f"latency {cycle - sent}, stated {self._unit.latency}"
                expected = self._unit.compute(**item)
                ports = ports or [getattr(dut, f"o_{name}") for name in expected._fields]
                result = type(expected)(*(int(port.value) for port in ports))
                assert result == expected, f"item {self.checked}: {item} gave {result}, model {expected}"
                self.checked += 1
                self.overflows += expected.overflow
            cycle += 1
        for _ in range(3 * self._unit.latency):
            await RisingEdge(dut.clk)
            assert not dut.o_valid.value, "a result that no item asked for"


@cocotb.test()
async def every_result_is_the_models(dut):
    unit = UNITS[PARAMETERS["unit"]](**PARAMETERS["arguments"])
    stimuli = list(items(unit, count=PARAMETERS["count"], seed=PARAMETERS["seed"]))
    count = len(stimuli)
    dut.i_valid.value = 0
    dut.rst.value = 1
    Clock(dut.clk, 10, "ns").start()
    for _ in range(unit.latency + 2):
        await RisingEdge(dut.clk)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    driver = Driver(dut, unit, gap=PARAMETERS["gap"])
    checker = Checker(dut, unit, driver)
    cocotb.start_soon(driver.run(stimuli))
    await with_timeout(checker.run(count), 10 * (20 * count + 1000), "ns")
    assert checker.checked == count and 0 < checker.overflows < count
    dut._log.info(f"{count} items, {checker.overflows} overflows, latency {unit.latency}")
