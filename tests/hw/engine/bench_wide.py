"""Bench of WideMemory: adds to few rows as often as it takes them, takes and clearings among them, to the cycle."""

import random
from collections import deque

import cocotb
import numpy as np

from bench import bench_parameters
from engine_cycles import Ports, edge, faulty, reset, run
from running_parts import bank

PARAMETERS = bench_parameters()
BANK = bank("wide")
PARTS = BANK.components
LATENCY = 4      # cycles from an add to the next of its row
TAKE_LATENCY = 3


def exact(word: int) -> int:
    """A binary16 word in units of 2^-24, by NumPy's reading of it."""
    numerator, denominator = float(np.uint16(word).view(np.float16)).as_integer_ratio()
    return (numerator << 24) // denominator


def any_word(rng: random.Random) -> int:
    """A finite word; some are subnormal, some the greatest there is."""
    return rng.choice((rng.getrandbits(16) & 0xFBFF, rng.getrandbits(16) & 0x83FF, 0x7BFF, 0xFBFF, 0))


class Adder:
    """Drives a WideMemory at random and is its model, each port in each cycle."""

    def __init__(self, ports: Ports, memory, *, rng: random.Random, rows: int, dirty: bool, count: int,
                 gap: float = 0.0, rests: float = 0.0, in_turn: bool = False):
        self._ports, self._memory, self._rng = ports, memory, rng
        self._gap, self._rests, self._left, self._in_turn = gap, rests, count, in_turn
        self._where = rng.sample(range(memory.depth), min(rows, memory.depth))
        self.rows = {row: [0] * memory.lanes for row in range(memory.depth)}
        self._accepted = deque([None] * (LATENCY - 1), LATENCY - 1)  # addresses of the last cycles
        self._shown = deque(["held"] * TAKE_LATENCY)
        self._row, self._offer, self._work, self._dirty, self._clearing = None, None, deque(), dirty, 0
        self._resting = False    # a take went just before
        self.adds = self.waits = self.taken = self.cleared = self.spared = 0

    @property
    def done(self) -> bool:
        return not self._left and not self._work and self._offer is None and self._idle()

    def _idle(self) -> bool:
        return not self._clearing and not any(at is not None for at in self._accepted)

    def _rest(self):
        """What an update or a new batch does: takes some rows, or all and says so, or clears."""
        kind = self._rng.choice(("some", "all", "clear"))
        if kind == "clear":
            self._work += [("clear", 0)]
        elif kind == "all":
            self._work += [("take", row) for row in self._rng.sample(range(self._memory.depth), self._memory.depth)]
            # Takes that follow each other at once, all different; then the word that all are zero, and a clearing.
            self._work += [("clean", 0), ("clear", 0)]
        else:
            self._work += [("take", row) for row in self._rng.sample(self._where, len(self._where) // 2)]
            self._work += [("look", 0)] * self._rng.randrange(1, 9)

    def drive(self, cycle: int):
        rng, put = self._rng, self._ports.put
        if self._left and self._offer is None and not self._work:
            if rng.random() < self._rests:
                self._rest()
            elif rng.random() >= self._gap:
                if self._in_turn:
                    self._where.append(self._where.pop(0))
                row = self._where[0] if self._in_turn else rng.choice(self._where)
                self._offer = row, [any_word(rng) for _ in range(self._memory.lanes)]
                self._left -= 1
        self._act = ("look", 0)
        if self._work and (self._resting or self._idle()):
            self._resting = True
            self._act = self._work.popleft()
        self._resting = self._act[0] == "take"
        kind, row = self._act
        put("i_take", kind == "take")
        put("i_take_address", row if kind == "take" else rng.randrange(self._memory.depth))
        put("i_clean", kind == "clean")
        put("i_clear", kind == "clear")
        put("i__valid", self._offer is not None)
        if self._offer:
            address, words = self._offer
            packed = sum(word << 16 * k for k, word in enumerate(words))
            put("i__payload", packed << self._memory.address_bits | address)

    def observe(self, cycle: int):
        get, memory = self._ports.get, self._memory
        kind, row = self._act
        conflict = self._offer is not None and self._offer[0] in self._accepted
        ready = not conflict and kind != "take" and not self._clearing
        if self._offer is not None:
            assert get("i__ready") == ready, f"ready in cycle {cycle} is not {ready}"
        assert get("o_clearing") == bool(self._clearing), f"o_clearing in cycle {cycle}"
        self.waits += conflict

        accepted, shown = None, "held"
        if self._clearing:
            accepted, shown = memory.depth - self._clearing, None
            self._clearing -= 1
            self._dirty = self._dirty and self._clearing > 0
        elif kind == "take":
            accepted = row
            shown = sum((value & (1 << memory.width) - 1) << memory.width * k
                        for k, value in enumerate(self.rows[row]))
            self.rows[row] = [0] * memory.lanes
            self.taken += 1
        elif self._offer is not None:
            shown = None
            if ready:
                accepted, words = self._offer
                self.rows[accepted] = [value + exact(word) for value, word in zip(self.rows[accepted], words,
                                                                                  strict=True)]
                self._offer, self._dirty = None, True
                self.adds += 1
        if kind == "clean":
            self._dirty = False
        if kind == "clear":
            self._clearing = memory.depth if self._dirty else 0
            self.cleared, self.spared = self.cleared + self._dirty, self.spared + (not self._dirty)
            self.rows = {at: [0] * memory.lanes for at in range(memory.depth)}
        self._accepted.append(accepted)
        now = self._shown.popleft()
        self._shown.append(shown)
        self._row = self._row if now == "held" else now
        if self._row is not None:
            assert get("o_row") == self._row, f"o_row is {get('o_row'):#x}, not {self._row:#x}, in cycle {cycle}"


async def added(dut, name: str, rng: random.Random, *, rows: int, count: int = 400, **options):
    memory, ports = PARTS[name], Ports(dut, name, PARTS[name])
    # What earlier tests left in the memory goes first: after a reset a clearing always clears.
    first = Adder(ports, memory, rng=rng, rows=1, dirty=True, count=0)
    first._work.append(("clear", 0))
    await run(dut, [first], until=lambda: first.done and first.cleared, limit=memory.depth + 20)
    await edge(dut)
    adder = Adder(ports, memory, rng=rng, rows=rows, dirty=False, count=count, **options)
    cycles = await run(dut, [adder], until=lambda: adder.done, limit=(60 + 4 * memory.depth) * count)
    await edge(dut)
    return adder, cycles


@cocotb.test()
@cocotb.parametrize(name=list(PARTS), rows=[2, 9], gap=[0.0, 0.5])
async def sums_are_exact(dut, name, rows, gap):
    await reset(dut, BANK)
    adder, cycles = await added(dut, name, random.Random(PARAMETERS["seed"]), rows=rows, gap=gap,
                                rests=0.03 if PARTS[name].depth > 100 else 0.1)
    assert adder.waits and adder.taken and adder.cleared and adder.spared, "an occasion never came"
    dut._log.info(f"{adder.adds} adds in {cycles} cycles, {adder.waits} waits, {adder.taken} rows taken")


@cocotb.test()
@cocotb.parametrize(name=["wide_4", "wide_deep"])
async def rows_that_differ_do_not_wait(dut, name):
    await reset(dut, BANK)
    memory, count = PARTS[name], 300
    assert (memory.latency, memory.take_latency) == (LATENCY, TAKE_LATENCY)
    adder, cycles = await added(dut, name, random.Random(PARAMETERS["seed"]), rows=LATENCY, in_turn=True, count=count)
    assert not adder.waits and cycles == count + LATENCY - 2, f"{cycles} cycles for {count} adds"
    adder, cycles = await added(dut, name, random.Random(PARAMETERS["seed"]), rows=1, count=count)
    assert adder.waits and cycles == LATENCY * count - 1, f"{cycles} cycles for {count} adds to one row"


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    for name in PARTS:
        outputs = Ports(dut, name, PARTS[name]).outputs
        assert await faulty(dut, BANK, outputs, lambda rng, name=name: added(
            dut, name, rng, rows=3, gap=0.3, rests=0.1, count=150), seed=PARAMETERS["seed"])
