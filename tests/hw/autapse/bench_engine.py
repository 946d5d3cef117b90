"""Bench of the node engine with a memory, a list and arithmetic of its own: segments of every kind, cycle by cycle."""

import random
import sys
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

sys.path.insert(0, str(Path(__file__).parent.parent / "neuron"))

from autapse.hw.autapse.registers import Flag, Give
from autapse_reference import SlowNeuron
from bench import bench_parameters

P = bench_parameters()
UNITS, LINE, ONE = P["units"], P["line"], 0x3C00
KEPT, BORDER, BIAS, STATE, EDGES, WEIGHTS, SPIKES, MEMBRANES, MASKS = (
    16, 64, 512, 576, 640, 1024, 3072, 3200, 3328)


def word(rng: random.Random) -> int:
    return rng.getrandbits(1) << 15 | rng.randrange(11, 17) << 10 | rng.getrandbits(10)


class Chip:
    """Drives the engine and its neighbours."""

    def __init__(self, dut):
        self.dut = dut

    async def tick(self, **values):
        for name, value in values.items():
            getattr(self.dut, name).value = value
        await FallingEdge(self.dut.clk)
        for name in values:
            getattr(self.dut, name).value = 0

    async def write(self, at: int, value: int):
        await self.tick(i_write=1, i_address=at, i_word=value)

    async def read(self, at: int) -> int:
        await self.tick(i_look=1, i_address=at)
        return int(self.dut.o_word.value)

    async def give(self, name: Give, value: int):
        await self.tick(i_give=1, i_at=int(name), i_data=value & 0xFFFF)


@cocotb.test()
async def segments_are_those_of_the_rules(dut):
    rng, chip = random.Random(P["seed"]), Chip(dut)
    for name in ("i_give", "i_at", "i_data", "i_write", "i_look", "i_address", "i_word", "i_empty", "i_event",
                 "i_step"):
        getattr(dut, name).value = 0
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    await FallingEdge(dut.clk)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    seen = dict.fromkeys(("beside", "delays", "border", "events", "soft", "leak", "silent", "visited"), 0)
    membrane, line = 0, []
    for _ in range(P["segments"]):
        beside = UNITS > 1 and rng.random() < 0.6
        delays = [] if beside or rng.random() < 0.4 else sorted(rng.sample(range(1, LINE + 1), rng.randrange(1, 9)))
        neuron = SlowNeuron(leak=0 if beside else rng.choice((0, 0x3800)), threshold=word(rng) & 0x7FFF,
                            half_width=0x3800, soft=rng.random() < 0.4, strict=rng.random() < 0.5,
                            spiking=bool(delays) or rng.random() < 0.8)
        nodes, sources = rng.randrange(1, 14), rng.randrange(0, 6)
        bias, state, border = rng.random() < 0.7, rng.random() < 0.3, bool(delays) and rng.random() < 0.5
        shared = rng.random() < 0.5
        padded = -(-nodes // UNITS) * UNITS
        fired = [source for source in range(sources) if rng.random() < 0.5]
        tables = ((BIAS, padded), (STATE, padded), (WEIGHTS, padded * max(sources, 1)),
                  (EDGES, nodes * max(len(delays), 1)))
        memory = {at: word(rng) for base, count in tables for at in range(base, base + count)}
        reach = -(-max(delays, default=1) // 16)
        masks = [[d for d in delays if not border or rng.random() < 0.7] for _ in range(nodes)]
        for base, sets in ((KEPT, [delays]), (BORDER, masks)):
            for row, kept in enumerate(sets):
                for place in range(reach):
                    memory[base + row * reach + place] = sum(1 << d - 1 - 16 * place for d in kept
                                                             if 0 <= d - 1 - 16 * place < 16)
        for at, value in memory.items():
            await chip.write(at, value)
        await chip.tick(i_empty=1)
        for source in range(sources):
            await chip.tick(i_event=1, i_step=padded, i_word=ONE if source in fired else 0)
        begin = rng.random() < 0.5
        clear = begin and rng.random() < 0.5
        flags = (Flag.BIAS * bias | Flag.STATE * state | Flag.LIST * (sources > 0) | Flag.DELAYS * bool(delays)
                 | Flag.BORDER * border | Flag.MEMBRANES | Flag.MASKS | Flag.SOFT * neuron.soft
                 | Flag.STRICT * neuron.strict | Flag.SPIKING * neuron.spiking | Flag.BEGIN * begin | Flag.CLEAR * clear
                 | Flag.BESIDE * beside)
        for name, value in ((Give.NODES, nodes), (Give.BIAS, BIAS), (Give.STATE, STATE), (Give.LIST, WEIGHTS),
                            (Give.KEPT, KEPT), (Give.BORDER, BORDER), (Give.EDGES, EDGES), (Give.REACH, reach),
                            (Give.EDGE_STEP, 0 if shared else len(delays)), (Give.SPIKES, SPIKES),
                            (Give.MEMBRANES, MEMBRANES), (Give.MASKS, MASKS), (Give.LEAK, neuron.leak),
                            (Give.THRESHOLD, neuron.threshold), (Give.HALF_WIDTH, neuron.half_width),
                            (Give.FLAGS, int(flags)), (Give.START, 0)):
            await chip.give(name, value)
        # What the unit kept and what lies on the line go on, unless they begin anew.
        neuron.passed = membrane = 0 if begin else membrane
        neuron.spikes = [] if clear else line
        expected, cycles, visits, group = {}, 1, 0, UNITS if beside else 1
        for first in range(0, nodes, group):
            slowest = 0
            for node in range(first, min(first + group, nodes)):
                if beside and node > first:
                    neuron.passed = 0
                words = [memory[BIAS + node]] * bias + [memory[STATE + node]] * state
                words += [memory[WEIGHTS + source * padded + node] for source in fired]
                hits = [d for d in masks[node] if neuron.delayed(d)] if delays else []
                words += [memory[EDGES + delays.index(d) + (0 if shared else node * len(delays))] for d in hits]
                before = list(neuron.spikes)
                u, spike, near, took = neuron.node(words)
                if not neuron.spiking:
                    neuron.spikes = before
                expected |= {SPIKES + node: ONE * spike, MEMBRANES + node: u, MASKS + node: ONE * near}
                slowest = max(slowest, took)
                seen["visited"] += len(hits)
                seen["leak"] += bool(neuron.v)
            cycles += 7 + min(group, nodes - first) + slowest
            visits += bias + len(fired) + (len(hits) if delays else 0)
            if sources:
                cycles += 1 + len(fired)
            if delays:
                cycles += 1 + reach * (2 + border) + len(hits) + LINE // 16
        membrane, line = neuron.product() if neuron.spiking else membrane, neuron.spikes[-LINE:]
        taken = 0
        while int(dut.o_busy.value):
            await chip.tick()
            taken += 1
            assert taken < 5000, "the segment does not end"
        for at, value in expected.items():
            found = await chip.read(at)
            assert found == value, f"word {at} of {nodes} nodes is {found:#x}, not {value:#x}: {flags!r}, {delays}"
        assert taken == cycles, f"{taken} cycles, not {cycles}: {flags!r}, {nodes} nodes, {delays}"
        assert int(dut.o_visits.value) == visits, f"{int(dut.o_visits.value)} visits, not {visits}: {flags!r}"
        for name, happened in (("beside", beside), ("delays", delays), ("border", border), ("events", fired),
                               ("soft", neuron.soft), ("silent", not neuron.spiking)):
            seen[name] += bool(happened)
    dut._log.info(f"seed {P['seed']}: {seen}")
    assert all(count for name, count in seen.items() if UNITS > 1 or name != "beside"), seen
