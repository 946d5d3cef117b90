"""Bench of the lanes: every sum in order, in the cycle stated, two of them waiting without loss; all round as exact."""

import random
from collections import deque

import cocotb
import numpy as np

from autapse.hw.neuron.alignment import HEADROOM
from autapse.hw.numeric.binary16 import UNIT, decode, encode
from bench import bench_parameters
from engine_cycles import Ports, faulty, reset, run
from engine_parts import bank

PARAMETERS = bench_parameters()
BANK = bank("sums")
PARTS = BANK.components
LANES = ("plain_4", "plain_2", "products_4")


def exact(word: int, *, fraction: int) -> int:
    """A binary16 word in units of 2^-fraction, by NumPy's reading of it."""
    numerator, denominator = float(np.uint16(word).view(np.float16)).as_integer_ratio()
    return (numerator << fraction) // denominator


def any_word(rng: random.Random) -> int:
    return rng.getrandbits(16) & (0xFBFF if rng.random() < 0.5 else 0x83FF) if rng.random() < 0.9 else 0


def rounds_alike(part: int, value: int, lanes, *, rng: random.Random) -> bool:
    """Whether what is left of a sum rounds as the sum does, alone and with a word added; equal where it can be."""
    drop = lanes.unit.fraction - lanes.fraction
    if not value % (1 << drop) and abs(value) < 1 << HEADROOM - 1 + lanes.unit.fraction:
        return part == value >> drop
    words = (0, any_word(rng), 0x7BFF, 0xFBFF)
    return all(encode(part + (decode(word) << lanes.fraction - UNIT), fraction=lanes.fraction)
               == encode(value + (decode(word) << lanes.unit.fraction - UNIT), fraction=lanes.unit.fraction)
               for word in words)


class Rows:
    """Sends sums of random rows as fast as credits and gaps allow, takes their parts with random stalls, checks all."""

    def __init__(self, ports: Ports, lanes, *, count: int, gap: float, stall: float, rng: random.Random):
        self._ports, self._lanes, self._rng, self._gap, self._stall = ports, lanes, rng, gap, stall
        self._sums = [self._random_sum() for _ in range(count)]
        self._rows = deque((number, at, at == len(rows) - 1, row) for number, rows in enumerate(self._sums)
                           for at, row in enumerate(rows))
        self._parts = deque()   # (cycle from which it shows, values, last of its sum) of sums whose last row was sent
        self._credits, self._shift, self._last = lanes.credits, False, -lanes.beats
        self._count = count
        self.done = self.full = 0

    def _random_sum(self):
        rows = self._rng.choice((1, 1, 2, 3, 7))
        return [([any_word(self._rng) for _ in range(self._lanes.lanes)], any_word(self._rng)) for _ in range(rows)]

    def _total(self, number: int) -> list[list[int]]:
        lanes, half = self._lanes, 1 << self._lanes.width - 1
        values = [0] * lanes.lanes
        for words, factor in self._sums[number]:
            for k, word in enumerate(words):
                values[k] += (exact(word, fraction=24) * exact(factor, fraction=24) if lanes.products
                              else exact(word, fraction=24))
        values = [(value + half) % (2 * half) - half for value in values]
        return [values[beat * lanes.units:(beat + 1) * lanes.units] for beat in range(lanes.beats)]

    def drive(self, cycle: int):
        rng, put, lanes = self._rng, self._ports.put, self._lanes
        self._shift = rng.random() >= self._stall
        put("i_shift", self._shift)
        blocked = self._rows and self._rows[0][2] and (not self._credits or cycle - self._last < lanes.beats)
        send = self._rows and rng.random() >= self._gap and not blocked
        put("i_valid", bool(send))
        number, at, last, (words, factor) = self._rows[0] if self._rows else (0, 0, 0, ([0], 0))
        put("i_first", at == 0)
        put("i_last", last)
        put("i_words", sum(word << 16 * k for k, word in enumerate(words)))
        if lanes.products:
            put("i_factor", factor)
        if send:
            self._rows.popleft()
            if last:
                self._credits -= 1
                self._last = cycle
                begins = cycle + lanes.latency + 1
                self._parts.extend((begins + k, part, k == lanes.beats - 1)
                                   for k, part in enumerate(self._total(number)))

    def observe(self, cycle: int):
        get, lanes = self._ports.get, self._lanes
        waiting = sum(begins <= cycle for begins, _, _ in self._parts)
        self.full += waiting == lanes.credits * lanes.beats
        assert get("o_valid") == bool(waiting), f"{self._ports.name}: o_valid is wrong in cycle {cycle}"
        if waiting:
            found, half = get("o_sums"), 1 << lanes.bits - 1
            for k, value in enumerate(self._parts[0][1]):
                part = ((found >> lanes.bits * k) + half) % (2 * half) - half
                assert rounds_alike(part, value, lanes, rng=self._rng), f"{self._ports.name}: {part} of sum {value}"
        end = False
        if waiting and self._shift:
            end = self._parts.popleft()[2]
        assert get("o_done") == end, f"{self._ports.name}: o_done is not {end} in cycle {cycle}"
        self._credits += end
        self.done += end


async def summed(dut, name: str, rng: random.Random, *, gap: float, stall: float, count: int = 150):
    lanes = PARTS[name]
    ports = Ports(dut, name, lanes)
    agent = Rows(ports, lanes, count=count, gap=gap, stall=stall, rng=rng)
    cycles = await run(dut, [agent], until=lambda: agent.done == count, limit=80 * count)
    return agent, cycles


@cocotb.test()
@cocotb.parametrize(name=LANES, gap=[0.0, 0.4], stall=[0.0, 0.7])
async def sums_are_exact(dut, name, gap, stall):
    await reset(dut, BANK)
    agent, cycles = await summed(dut, name, random.Random(PARAMETERS["seed"]), gap=gap, stall=stall)
    if stall and not gap:
        assert agent.full, "two sums never waited at once"
    dut._log.info(f"{agent.done} sums in {cycles} cycles, two waiting in {agent.full}")


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    for name in LANES:
        outputs = Ports(dut, name, PARTS[name]).outputs
        assert await faulty(dut, BANK, outputs, lambda rng, name=name: summed(dut, name, rng, gap=0.3, stall=0.3),
                            seed=PARAMETERS["seed"])
