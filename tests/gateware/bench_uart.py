"""Bench of the serial line against a far end of any rate, byte by byte."""

import random

import cocotb

from bench import bench_parameters
from serial_line import FarEnd
from stream_agents import Agent, Bench, Source

PARAMETERS = bench_parameters()


class Line:
    """The design with a far end and agents for its byte streams."""

    def __init__(self, dut, cycles):
        self.far, self.received, self.faults, self.flags = FarEnd(cycles), [], 0, 0
        self.source = Source(dut, "i_line")

        def drive():
            dut.i_rx.value = self.far.speak()
            dut.o_line__ready.value = 1

        def sample():
            self.far.hear(int(dut.o_tx.value))
            if int(dut.o_line__valid.value):
                self.received.append(int(dut.o_line__payload.value))
            self.faults += int(dut.o_fault.value)

        dut.i_whole.value = dut.i_damaged.value = 0
        self.bench = Bench(dut, self.source, Agent(drive, sample))

    async def retune(self, cycles):
        self.far.cycles = cycles
        await self.rest(12)

    async def rest(self, bits):
        for _ in range(round(bits * self.far.cycles)):
            await self.bench.step()

    async def exchange(self, there, back):
        """Both ways at once; what came in at either end since the last time."""
        self.received.clear()
        self.far.heard.clear()
        self.far.items += there
        self.source.items += back
        cycles = round(12 * self.far.cycles * (max(len(there), len(back)) + 2))
        await self.bench.until(lambda: self.far.resting and not self.source.items, watchdog=cycles)
        await self.rest(12)
        return list(self.received), list(self.far.heard)


def bytes_of(count):
    return [random.choice((0x7E, 0x00, 0xFF, random.randrange(256))) for _ in range(count)]


@cocotb.test(skip=PARAMETERS["period"] is None)
async def bytes_cross_at_the_stated_rate(dut):
    exact = PARAMETERS["period"] / 8
    line = Line(dut, exact)
    await line.bench.start()
    for wrong in (0.98, 1.0, 1.02):
        await line.retune(exact * wrong)
        there, back = bytes_of(60), bytes_of(60)
        assert await line.exchange(there, back) == (there, back)
        assert not line.faults
    # Back to back: ten bit times a byte, no more than a cycle lost at the end.
    await line.retune(exact)
    line.far.heard.clear()
    begin = line.bench.cycle
    line.source.items += bytes_of(40)
    await line.bench.until(lambda: len(line.far.heard) == 40, watchdog=round(500 * exact))
    assert line.bench.cycle - begin <= 400 * exact + 8
    line.far.broken = True
    received, _ = await line.exchange([0x55, None, 0xAA], [])
    assert (received, line.faults) == ([0xAA], 1)


@cocotb.test(skip=PARAMETERS["period"] is not None)
async def the_rate_is_found_from_a_flag(dut):
    cycles = PARAMETERS["cycles"][0]
    line = Line(dut, cycles)
    await line.bench.start()
    line.source.items += [0x5A]
    await line.rest(30)
    assert not line.far.heard and not int(dut.o_found.value), "it spoke before it knew the rate"
    # Bytes that are no flag: nothing is taken for one.
    line.far.items += [byte for byte in bytes_of(12) if byte != 0x7E]
    line.far.items += [None]
    await line.bench.until(lambda: line.far.resting, watchdog=round(200 * cycles))
    assert not int(dut.o_found.value)
    there, back = [0x7E, *bytes_of(30)], bytes_of(30)
    received, heard = await line.exchange(there, back)
    assert received == there
    assert heard == [0x5A, *back]
    assert not line.faults


@cocotb.test(skip=PARAMETERS["period"] is not None)
async def another_rate_is_found_after_faults(dut):
    first, *others = PARAMETERS["cycles"]
    line = Line(dut, first)
    await line.bench.start()
    assert (await line.exchange([0x7E, 1, 2], []))[0] == [0x7E, 1, 2]
    for cycles in others:
        await line.retune(cycles)
        for _ in range(40):
            received, _ = await line.exchange([0x7E, 0x10, 0, 0, 0x7E, None, None], [])
            if received == [0x7E, 0x10, 0, 0, 0x7E]:
                break
        else:
            raise AssertionError(f"no byte was understood at {cycles} cycles per bit")
