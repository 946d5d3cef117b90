"""Bench of the parallel line against an FTDI chip's FIFO, at a clock of its own."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from bench import bench_parameters
from ftdi_chip import FtdiChip
from stream_agents import Sink, Source

PARAMETERS = bench_parameters()


async def begin(dut, *, busy, stall):
    """(chip, source, sink, steps): the design is running, `await steps(condition)` goes on until it holds."""
    period = round(1e12 / PARAMETERS["clock_hz"] / 2) * 2
    source, sink = Source(dut, "i_line", stall=stall), Sink(dut, "o_line", stall=stall)
    chip = FtdiChip(dut, busy=busy)
    dut.rst.value = 0
    source.drive()
    sink.drive()
    Clock(dut.clk, period, "ps").start()
    cycle = 0

    async def steps(condition, limit=20000):
        nonlocal cycle
        start = cycle
        while not condition():
            await FallingEdge(dut.clk)
            # What was taken at the rising edge between two falling ones was decided by what stood before it.
            source.drive()
            sink.drive()
            await cocotb.triggers.ReadOnly()
            source.sample()
            sink.sample()
            cycle += 1
            assert cycle - start < limit, f"watchdog: not done after {limit} cycles"
        return cycle - start

    return chip, source, sink, steps


def bytes_of(count):
    return [random.choice((0x7E, 0x00, 0xFF, random.randrange(256))) for _ in range(count)]


@cocotb.test()
async def bytes_cross_both_ways(dut):
    chip, source, sink, steps = await begin(dut, busy=0.3, stall=0.3)
    there, back = bytes_of(80), bytes_of(90)
    chip.there += there
    source.items += back
    await steps(lambda: len(sink.items) == 80 and len(chip.back) == 90)
    assert (sink.items, chip.back) == (there, back)


@cocotb.test()
async def both_ways_take_turns(dut):
    chip, source, sink, steps = await begin(dut, busy=0.0, stall=0.0)
    chip.there += bytes_of(40)
    source.items += bytes_of(60)
    await steps(lambda: len(chip.back) == 30)
    assert abs(len(sink.items) - 30) <= 2


@cocotb.test()
async def one_way_takes_the_cycles_that_are_said(dut):
    chip, source, sink, steps = await begin(dut, busy=0.0, stall=0.0)
    strobe, setup, rest = (PARAMETERS[name] for name in ("strobe", "setup", "rest"))
    # An FTDI chip that is back after 49 ns and 14: seen two cycles later, where that is not within the rest.
    away = 2 + int((49 + 14) * 1e-9 * PARAMETERS["clock_hz"])
    chip.there += bytes_of(40)
    spent = await steps(lambda: len(sink.items) == 40)
    least = strobe + rest + 1
    assert 39 * least <= spent <= 40 * max(least, strobe + away + 2) + 8, (spent, least)
    source.items += bytes_of(40)
    spent = await steps(lambda: len(chip.back) == 40)
    least = setup + strobe + rest + 1
    assert 39 * least <= spent <= 40 * max(least, setup + strobe + away + 2) + 8, (spent, least)


@cocotb.test()
async def what_is_not_taken_waits_in_the_chip(dut):
    chip, source, sink, steps = await begin(dut, busy=0.0, stall=1.0)
    chip.there += bytes_of(5)
    for _ in range(3):
        await steps(lambda: len(chip.there) == 4, limit=400)
    waited = 0

    def later():
        nonlocal waited
        waited += 1
        return waited == 300

    await steps(later)
    assert len(chip.there) == 4 and not sink.items
