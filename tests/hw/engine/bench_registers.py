"""Bench of registers and counters: the host's words, the sticky overflow flag, sums that wrap at 32 bits."""

import random

import cocotb

from autapse.hw.contract.program import COUNTERS, ENGINES, REGISTERS, offsets, words_of
from bench import bench_parameters
from engine_cycles import Ports, faulty, reset, run, values
from engine_parts import bank

PARAMETERS = bench_parameters()
BANK = bank("memories")
PARTS = BANK.components


class Program:
    """Random writes, reads and overflows against the contract's table."""

    def __init__(self, ports: Ports, rng: random.Random):
        self._ports, self._rng = ports, rng
        self._registers = {name: 0 for name, _, _ in REGISTERS}
        # (register, its part, bits of the part) of every word.
        self._words = [(name, part, min(bits - 16 * part, 16)) for name, bits, _ in REGISTERS
                       for part in range(words_of(bits))]
        self._next = dict(self._registers)
        self._answer = self._read = None
        self.sticky = self.cycles = 0

    def drive(self, cycle: int):
        rng, put = self._rng, self._ports.put
        overflow, write = rng.random() < 0.15, rng.random() < 0.4
        at = rng.randrange(len(self._words)) if rng.random() < 0.6 else offsets(REGISTERS)["overflow"]
        word = rng.getrandbits(16)
        put("i_overflow", overflow)
        put("host__write", write)
        put("host__read", not write)
        put("host__address", at)
        put("host__data", word)
        name, part, bits = self._words[at]
        self._read = self._registers[name] >> 16 * part & 0xFFFF
        if write:
            mask = ((1 << bits) - 1) << 16 * part
            self._next[name] = self._next[name] & ~mask | word << 16 * part & mask
        if overflow:
            # The flag of this cycle wins over the host that clears an older one.
            self._next["overflow"] = 1
            self.sticky += write and name == "overflow" and not word & 1

    def observe(self, cycle: int):
        found = values(self._ports.get("o"))
        # Signed registers go out as bits; the contract's fields say how many.
        assert found == self._registers, f"registers in cycle {cycle}: {found}, model {self._registers}"
        if self._answer is not None:
            assert self._ports.get("host__result") == self._answer, f"word read in cycle {cycle}"
        self._answer, self._registers = self._read, dict(self._next)
        self.cycles += 1


async def program(dut, rng):
    await reset(dut, BANK)
    agent = Program(Ports(dut, "registers", PARTS["registers"]), rng)
    await run(dut, [agent], until=lambda: agent.cycles == 1500, limit=1600)
    return agent


class Work:
    """Random work of the engines, against sums taken one cycle later; any write clears."""

    def __init__(self, ports: Ports, rng: random.Random):
        self._ports, self._rng = ports, rng
        self._totals, self._steps = dict.fromkeys(COUNTERS, 0), dict.fromkeys(COUNTERS, 0)
        self._answer = None
        self.cycles = self.wraps = 0

    def drive(self, cycle: int):
        rng, put = self._rng, self._ports.put
        at, write = rng.randrange(2 * len(COUNTERS)), rng.random() < 0.01
        running = rng.getrandbits(1)
        put("host__address", at)
        put("host__write", write)
        put("i_running", running)
        steps = {"cycles": running}
        for engine in ENGINES:
            active, visit = rng.getrandbits(1), rng.getrandbits(1)
            saved = rng.choice((0, rng.getrandbits(8), rng.getrandbits(32)))
            put(f"{engine}_active", active)
            put(f"{engine}_visit", visit)
            put(f"{engine}_saved", saved)
            steps |= {f"{engine}.busy": visit, f"{engine}.stalled": active & ~visit & 1, f"{engine}.skipped": saved}
        read = self._totals[COUNTERS[at // 2]] >> 16 * (at % 2) & 0xFFFF
        self._pending = read, write, steps

    def observe(self, cycle: int):
        if self._answer is not None:
            assert self._ports.get("host__result") == self._answer, f"counter read in cycle {cycle}"
        self._answer, write, steps = self._pending
        for name in COUNTERS:
            total = self._totals[name] + self._steps[name]
            self.wraps += total >> 32
            self._totals[name] = 0 if write else total & 0xFFFF_FFFF
        self._steps = dict.fromkeys(COUNTERS, 0) if write else steps
        self.cycles += 1


async def work(dut, rng):
    await reset(dut, BANK)
    agent = Work(Ports(dut, "counters", PARTS["counters"]), rng)
    await run(dut, [agent], until=lambda: agent.cycles == 2500, limit=2600)
    return agent


@cocotb.test()
async def registers_keep_what_was_written(dut):
    agent = await program(dut, random.Random(PARAMETERS["seed"]))
    assert agent.sticky, "no overflow met the write that clears it"


@cocotb.test()
async def counters_count(dut):
    agent = await work(dut, random.Random(PARAMETERS["seed"]))
    assert agent.wraps, "no counter wrapped"


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    for name, scenario in (("registers", program), ("counters", work)):
        outputs = Ports(dut, name, PARTS[name]).outputs
        assert await faulty(dut, BANK, outputs, lambda rng, scenario=scenario: scenario(dut, rng),
                            seed=PARAMETERS["seed"])
