"""Bench of registers and counters: the host's words, the sticky overflow flag, sums that wrap at 32 bits."""

import random

import cocotb

from autapse.hw.contract.program import COUNTERS, ENGINES, REGISTERS, offsets, words_of
from bench import bench_parameters
from engine_cycles import Ports, faulty, reset, run, values
from engine_parts import bank

PARAMETERS = bench_parameters()
BANK = bank("registers")
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
        self._written = {}     # words as the host wrote them, which is how it reads them
        self._answer = self._read = None
        self.sticky = self.cycles = self.checked = 0

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
        self._read = name if name == "overflow" else self._written.get(at)
        if write:
            self._written[at] = word
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
            # The flag is read as it is by the time of the answer.
            wanted = self._registers["overflow"] if self._answer == "overflow" else self._answer
            assert self._ports.get("host__result") == wanted, f"word read in cycle {cycle}"
            self.checked += 1
        self._answer, self._registers = self._read, dict(self._next)
        self.cycles += 1


async def program(dut, rng):
    await reset(dut, BANK)
    agent = Program(Ports(dut, "registers", PARTS["registers"]), rng)
    await run(dut, [agent], until=lambda: agent.cycles == 1500, limit=1600)
    return agent


class Work:
    """Phases of random work, each read when it has settled; some end with a write that clears."""

    def __init__(self, ports: Ports, rng: random.Random, *, phases: int):
        self._ports, self._rng = ports, rng
        self._turn = PARTS["counters"].turn
        self._totals, self._steps = dict.fromkeys(COUNTERS, 0), dict.fromkeys(COUNTERS, 0)
        self._worked, self._cleared = None, 0   # last cycle of work and of a write, which also comes first of all
        self._left, self._reading, self._answer = 0, list(range(2 * len(COUNTERS))), None
        self.phases, self.wraps, self.clears = phases, 0, 0

    def drive(self, cycle: int):
        rng, put = self._rng, self._ports.put
        self._asked, write = None, cycle == self._cleared
        if self._left:
            self._left -= 1
        elif not write and not self._busy(cycle):
            # At rest: every word is read once, then perhaps cleared, then work goes on.
            if self._reading:
                self._asked = self._reading.pop()
            elif rng.random() < 0.3:
                write, self._cleared = True, cycle
                self._totals = dict.fromkeys(COUNTERS, 0)
                self.clears += 1
            else:
                self._left = rng.randrange(1, 60)
                self.phases -= 1
            if not self._asked and not self._reading:
                self._reading = rng.sample(range(2 * len(COUNTERS)), 2 * len(COUNTERS))
        put("host__write", write)
        put("host__address", rng.randrange(2 * len(COUNTERS)) if self._asked is None else self._asked)
        self._work(cycle, at_work=self._left > 0)

    def _busy(self, cycle: int) -> bool:
        return self._settling(cycle) or self._clearing(cycle)

    def _settling(self, cycle: int) -> bool:
        return self._worked is not None and 0 < cycle - self._worked <= self._turn + 3

    def _clearing(self, cycle: int) -> bool:
        return 0 < cycle - self._cleared <= self._turn + 2

    def _work(self, cycle: int, *, at_work: bool):
        rng, put = self._rng, self._ports.put
        put("i_running", at_work)
        self._steps = {"cycles": int(at_work)}
        for engine in ENGINES:
            active, visit = rng.getrandbits(1) & at_work, rng.getrandbits(1) & at_work
            saved = rng.choice((0, rng.getrandbits(8), rng.getrandbits(20), -rng.getrandbits(20))) * at_work
            put(f"{engine}_active", active)
            put(f"{engine}_visit", visit)
            put(f"{engine}_saved", saved)
            self._steps |= {f"{engine}.busy": visit, f"{engine}.stalled": active & ~visit & 1,
                            f"{engine}.skipped": saved}
        self._worked = cycle if at_work else self._worked

    def observe(self, cycle: int):
        get, settling = self._ports.get, self._settling(cycle) or (self._steps["cycles"] and self._continues)
        assert get("o_settling") == bool(settling), f"o_settling in cycle {cycle} is not {bool(settling)}"
        assert get("o_clearing") == self._clearing(cycle), f"o_clearing in cycle {cycle}"
        if self._answer is not None:
            name, word = self._answer
            assert get("host__result") == word, f"{name} read in cycle {cycle}"
        self._answer = None
        if self._asked is not None:
            name = COUNTERS[self._asked // 2]
            self._answer = name, self._totals[name] >> 16 * (self._asked % 2) & 0xFFFF
        for name in COUNTERS:
            total = self._totals[name] + self._steps[name]
            self.wraps += total >> 32 != 0
            self._totals[name] = total & 0xFFFF_FFFF
        self._continues = self._steps["cycles"]

    _continues = 0


async def work(dut, rng, *, phases: int = 60):
    await reset(dut, BANK)
    agent = Work(Ports(dut, "counters", PARTS["counters"]), rng, phases=phases)
    await run(dut, [agent], until=lambda: agent.phases <= 0, limit=200 * phases)
    return agent


@cocotb.test()
async def registers_keep_what_was_written(dut):
    agent = await program(dut, random.Random(PARAMETERS["seed"]))
    assert agent.sticky, "no overflow met the write that clears it"
    assert agent.checked > 1000, f"{agent.checked} words read"


@cocotb.test()
async def counters_count(dut):
    agent = await work(dut, random.Random(PARAMETERS["seed"]))
    assert agent.wraps and agent.clears, "no counter wrapped, or none was cleared"


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    for name, scenario in (("registers", program), ("counters", work)):
        outputs = Ports(dut, name, PARTS[name]).outputs
        assert await faulty(dut, BANK, outputs, lambda rng, scenario=scenario: scenario(dut, rng),
                            seed=PARAMETERS["seed"])
