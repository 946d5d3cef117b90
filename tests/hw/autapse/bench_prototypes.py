"""Bench of the prototype readout: random codes, gathered with gaps, against sums in Python."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from bench import bench_parameters

P = bench_parameters()
BASE, RESULTS = 1000, 77


async def compare(dut, memory: dict[int, int], *, classes: int) -> tuple[dict[int, int], int]:
    """What is written, by address, and the cycles of the comparison."""
    dut.i_start.value, dut.i_classes.value = 1, classes
    dut.i_prototypes.value, dut.i_distances.value = BASE, RESULTS
    await FallingEdge(dut.clk)
    dut.i_start.value = 0
    written, cycles = {}, 0
    while int(dut.o_busy.value):
        if int(dut.o_write.value):
            written[int(dut.o_address.value)] = int(dut.o_data.value)
        asked = memory.get(int(dut.o_address.value)) if int(dut.o_read.value) else None
        await FallingEdge(dut.clk)
        if asked is not None:
            dut.i_word.value = asked
        cycles += 1
        assert cycles < 20000, "the comparison does not end"
    return written, cycles


@cocotb.test()
async def nearest_prototype_is_found(dut):
    rng = random.Random(P["seed"])
    for name in ("i_fresh", "i_bit", "i_spike", "i_start", "i_classes", "i_prototypes", "i_distances", "i_word"):
        getattr(dut, name).value = 0
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    await FallingEdge(dut.clk)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    ties = 0
    for number in range(P["codes"]):
        bits, classes = (rng.choice((1, 15, 16, 17, 16 * P["words"])) if number % 3 else
                         rng.randrange(1, 16 * P["words"])), rng.randrange(1, 12)
        words = -(-bits // 16)
        code = [rng.getrandbits(1) for _ in range(bits)]
        near = [[bit ^ (rng.random() < 0.1) for bit in code] for _ in range(classes)]
        memory = {BASE + c * words + w: sum(bit << at for at, bit in enumerate(row[16 * w:16 * w + 16]))
                  for c, row in enumerate(near) for w in range(words)}
        dut.i_fresh.value = 1
        await FallingEdge(dut.clk)
        dut.i_fresh.value = 0
        for bit in code:
            while rng.random() < P["stall"]:
                await FallingEdge(dut.clk)
            dut.i_bit.value, dut.i_spike.value = 1, bit
            await FallingEdge(dut.clk)
            dut.i_bit.value = 0
        distances = [sum(a != b for a, b in zip(code, row, strict=True)) for row in near]
        written, cycles = await compare(dut, memory, classes=classes)
        expected = dict(enumerate([*distances, distances.index(min(distances))], RESULTS))
        assert written == expected, f"code of {bits} bits, {classes} classes: {written}, not {expected}"
        assert cycles == 2 + classes * (words + 3), f"{cycles} cycles for {words} words and {classes} classes"
        ties += distances.count(min(distances)) > 1
    dut._log.info(f"seed {P['seed']}: {ties} ties")
    assert ties
