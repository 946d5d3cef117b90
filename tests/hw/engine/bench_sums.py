"""Bench of the lanes: every exact sum in order, in the cycle stated, two of them waiting without loss."""

import random
from collections import deque

import cocotb
import numpy as np

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


class Rows:
    """Sends sums of random rows as fast as credits and gaps allow, takes their parts with random stalls, checks all."""

    def __init__(self, ports: Ports, lanes, *, count: int, gap: float, stall: float, rng: random.Random):
        self._ports, self._lanes, self._rng, self._gap, self._stall = ports, lanes, rng, gap, stall
        self._sums = [self._random_sum() for _ in range(count)]
        self._rows = deque((number, at, at == len(rows) - 1, row) for number, rows in enumerate(self._sums)
                           for at, row in enumerate(rows))
        self._expected = deque()   # (cycle, values of all parts) of sums whose last row was sent
        # Parts still in `leaving`, and those picked from it with the cycle from which o_sums may show them.
        self._leaving, self._way = deque(), deque()
        self._credits, self._shift = lanes.credits, False
        self._count, self._beats = count, lanes.beats
        self._left = count * self._beats  # parts that nobody took yet
        self.done = self.full = 0

    def _random_sum(self):
        rows = self._rng.choice((1, 1, 2, 3, 7))
        return [([any_word(self._rng) for _ in range(self._lanes.lanes)], any_word(self._rng)) for _ in range(rows)]

    def _total(self, number: int) -> list[int]:
        lanes = self._lanes
        values = [0] * lanes.lanes
        for words, factor in self._sums[number]:
            for k, word in enumerate(words):
                values[k] += (exact(word, fraction=24) * exact(factor, fraction=24) if lanes.products
                              else exact(word, fraction=24))
        mask = (1 << lanes.width) - 1
        return [sum((values[beat * lanes.units + k] & mask) << lanes.width * k for k in range(lanes.units))
                for beat in range(lanes.lanes // lanes.units)]

    def drive(self, cycle: int):
        rng, put = self._rng, self._ports.put
        self._shift = rng.random() >= self._stall
        put("i_shift", self._shift)
        send = self._rows and rng.random() >= self._gap and not (self._rows[0][2] and not self._credits)
        put("i_valid", bool(send))
        number, at, last, (words, factor) = self._rows[0] if self._rows else (0, 0, 0, ([0], 0))
        put("i_first", at == 0)
        put("i_last", last)
        put("i_words", sum(word << 16 * k for k, word in enumerate(words)))
        if self._lanes.products:
            put("i_factor", factor)
        if send:
            self._rows.popleft()
            if last:
                self._credits -= 1
                # Parts are picked two cycles before they show, a lone part is shown where it waits.
                begins = cycle + self._lanes.latency + (-1 if self._beats > 1 else 1)
                self._expected.append((begins, self._total(number)))

    def observe(self, cycle: int):
        get, several = self._ports.get, self._beats > 1
        # A sum begins to leave in the cycle stated, or in the one after the sum before it has left.
        if not self._leaving and self._expected and cycle >= self._expected[0][0]:
            self._leaving.extend(self._expected.popleft()[1])
        self.full += bool(self._leaving and self._expected) and cycle >= self._expected[0][0]
        pick = bool(self._leaving) and len(self._way) < (3 if several else 1)
        if pick:
            self._way.append((cycle + (2 if several else 0), self._leaving[0]))
        shown = bool(self._way) and cycle >= self._way[0][0]
        assert get("o_valid") == shown, f"{self._ports.name}: o_valid is wrong in cycle {cycle}"
        if shown:
            assert get("o_sums") == self._way[0][1], f"{self._ports.name}: sum {self.done}"
        taken = self._shift and shown
        if taken or (pick and not several):
            self._way.popleft()
        end = False
        if taken if not several else pick:
            self._leaving.popleft()
            end = not self._leaving
        assert get("o_done") == end, f"{self._ports.name}: o_done is not {end} in cycle {cycle}"
        self._credits += end
        self._left -= taken
        self.done = self._count - -(-self._left // self._beats)


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
