"""Bench of the autapse unit with its delay line: sweeps of random nodes, against integers."""

import random
import sys
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

sys.path.insert(0, str(Path(__file__).parent))

from autapse.hw.numeric.binary16 import decode
from autapse_reference import SlowNeuron
from bench import bench_parameters

P = bench_parameters()
LINE, WORD, DEADLINE = P["line"], 16, 60


def word(rng: random.Random, scale: int) -> int:
    """A finite word around 2^scale, now and then subnormal, or an end of the format."""
    kind = rng.randrange(20)
    if kind == 0:
        return rng.choice((0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0xFBFF))
    return rng.getrandbits(1) << 15 | min(max(15 + scale + rng.randrange(-3, 2), 0), 30) << 10 | rng.getrandbits(10)


async def tick(dut, **strobes):
    """One cycle with these strobes up, and all of them down after it."""
    for name, value in strobes.items():
        getattr(dut, name).value = value
    await FallingEdge(dut.clk)
    for name in strobes:
        getattr(dut, name).value = 0


async def line_words(dut) -> list[int]:
    """All words of the delay line, which is as it was afterwards."""
    words = []
    for _ in range(LINE // WORD):
        words.append(int(dut.o_taps.value))
        await tick(dut, i_turn=1)
    return words


@cocotb.test()
async def sweeps_are_those_of_the_rules(dut):
    rng = random.Random(P["seed"])
    names = ("i_start", "i_begin", "i_valid", "i_word", "i_end", "i_last", "i_turn", "i_shift", "i_clear",
             "i_leak", "i_threshold", "i_half_width", "i_soft", "i_strict", "i_spiking")
    for name in names:
        getattr(dut, name).value = 0
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    await FallingEdge(dut.clk)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    seen = dict.fromkeys(("spike", "near", "soft", "leak", "delayed", "overflow", "tight"), 0)
    for _ in range(P["networks"]):
        scale = rng.choice((-2, -1, 0, 3))
        neuron = SlowNeuron(
            leak=rng.choice((0, 0, 0x3800, 0x3C00, 0x2E66)), threshold=word(rng, scale) & 0x7FFF,
            half_width=rng.choice((0x3800, 0x3C00, 0x0001, 0x2C00)), soft=rng.random() < 0.5,
            strict=rng.random() < 0.5, spiking=rng.random() < 0.9)
        for name in ("leak", "threshold", "half_width", "soft", "strict", "spiking"):
            getattr(dut, f"i_{name}").value = int(getattr(neuron, name))
        nodes, carry = rng.randrange(1, 40), rng.random() < 0.3
        delays = sorted(rng.sample(range(1, LINE + 1), rng.randrange(0, 6)))
        weights = {delay: word(rng, scale) for delay in delays}
        await tick(dut, i_clear=1)
        for sweep in range(2):
            if sweep == 0 or not carry:
                await tick(dut, i_start=1, i_begin=1)
                neuron.begin()
            for node in range(nodes):
                taps = await line_words(dut)
                found = {delay for delay in range(1, LINE + 1) if taps[(delay - 1) // 16] >> (delay - 1) % 16 & 1}
                assert found == {delay for delay in range(1, LINE + 1) if neuron.delayed(delay)}
                words = [word(rng, scale) for _ in range(rng.randrange(0, 4))]
                words += [weights[delay] for delay in delays if delay in found]
                if rng.random() < 0.1:      # to the threshold, exactly
                    words = [neuron.threshold]
                seen["delayed"] += len(found & set(delays))
                last = node == nodes - 1 and not carry
                was, neuron.overflow = neuron.overflow, False
                u, spike, near, cycles = neuron.node(words, last=last)
                overflow = 0
                # The fed and the drained side together: words with gaps, then the strobe, then the wait.
                together = bool(words) and rng.random() < 0.5
                for place, each in enumerate(words):
                    while rng.random() < P["stall"]:
                        await tick(dut)
                    final = together and place == len(words) - 1
                    dut.i_last.value = int(last)
                    await tick(dut, i_valid=1, i_word=each, i_end=int(final))
                if not together:
                    gap = rng.randrange(2, 4)
                    for _ in range(gap):
                        await tick(dut)
                    dut.i_last.value = int(last)
                    await tick(dut, i_end=1)
                taken = 2
                while not int(dut.o_done.value):
                    overflow |= int(dut.o_overflow.value)
                    await tick(dut)
                    taken += 1
                    assert taken < DEADLINE, "the node does not end"
                assert (int(dut.o_u.value), int(dut.o_spike.value), int(dut.o_near.value)) == (u, spike, near), \
                    f"node {node} of sweep {sweep}: {words}, {neuron}"
                assert taken == cycles, f"{taken} cycles, not {cycles}"
                assert overflow == neuron.overflow
                seen["overflow"] += overflow
                neuron.overflow |= was
                await tick(dut, i_shift=1)
                seen["spike"] += spike
                seen["near"] += near
                seen["soft"] += spike and neuron.soft
                seen["leak"] += bool(decode(neuron.leak) and neuron.v)
                seen["tight"] += u == neuron.threshold
    dut._log.info(f"seed {P['seed']}: {seen}")
    assert all(seen.values()), seen
