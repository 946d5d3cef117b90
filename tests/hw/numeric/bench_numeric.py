"""cocotb bench of the numeric units: a new input every cycle, or random gaps, against the unit's own ``compute``.

One driver, one monitor and one checker serve all units. The checker compares the outputs exactly ``latency`` cycles
after each input, so a unit that is early or late fails just as one that is wrong.
"""

import random
from collections import deque

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, with_timeout

from bench import bench_parameters
from numeric_vectors import UNITS, stimuli


class Driver:
    """Applies one set of port values at a time, two's complement."""

    def __init__(self, dut):
        self._dut = dut

    def apply(self, ports: dict[str, int]):
        for port, value in ports.items():
            handle = getattr(self._dut, port)
            handle.value = value & (1 << len(handle)) - 1


class Monitor:
    """Reads output ports as unsigned integers."""

    def __init__(self, dut):
        self._dut = dut

    def sample(self, ports: dict[str, int]) -> dict[str, int]:
        return {port: int(getattr(self._dut, port).value) for port in ports}


class Checker:
    """Compares each cycle's outputs with those that the input ``latency`` cycles before must give."""

    def __init__(self, monitor: Monitor, *, latency: int):
        self._monitor = monitor
        self._expected = deque([(None, None)] * latency)
        self.compared = 0

    def cycle(self, inputs: dict[str, int] | None, outputs: dict[str, int] | None):
        """Check what the ports show now, and note what they must show after the input that is applied now."""
        self._expected.append((inputs, outputs))
        cause, expected = self._expected.popleft()
        if expected is not None:
            actual = self._monitor.sample(expected)
            assert actual == expected, f"for {cause}: got {actual}, expected {expected}"
            self.compared += 1


@cocotb.test()
async def unit_follows_its_model(dut):
    parameters = bench_parameters()
    unit = UNITS[parameters["unit"]](**parameters["arguments"])
    count = parameters["count"]
    driver = Driver(dut)
    checker = Checker(Monitor(dut), latency=unit.latency)

    async def run():
        driver.apply({"rst": 1})
        await FallingEdge(dut.clk)
        await FallingEdge(dut.clk)
        driver.apply({"rst": 0})
        for inputs, outputs in stimuli(unit, rng=random.Random(cocotb.RANDOM_SEED), count=count):
            checker.cycle(inputs, outputs)
            driver.apply(inputs)
            await FallingEdge(dut.clk)
        for _ in range(unit.latency):
            checker.cycle(None, None)
            await FallingEdge(dut.clk)

    # Accumulators take whatever their inputs carry at the first edges.
    driver.apply({"i_valid": 0} if hasattr(dut, "i_valid") else {})
    Clock(dut.clk, 10, unit="ns").start()
    await with_timeout(run(), 10 * (count + unit.latency + 10), "ns")
    assert checker.compared == count
