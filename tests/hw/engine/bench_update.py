"""Bench of UpdateEngine and LossEngine: every row and error against `compute`, every cycle against a schedule."""

import random
from collections import deque

import cocotb

from autapse.hw.engine.gradient import update_layout
from autapse.hw.engine.memory import ROW_LATENCY, SynapseMemory, bank_of
from bench import bench_parameters
from engine_cycles import Memory, Ports, Source, edge, faulty, reset, run
from engine_items import Layers, item, random_layers
from engine_parts import bank

PARAMETERS = bench_parameters()
BANK = bank(PARAMETERS["bank"])
PARTS = BANK.components
UPDATES = [name for name in PARTS if name.startswith("update")]
LOSSES = [name for name in PARTS if name.startswith("loss")]
GROUPS = PARAMETERS["groups"]       # to update in a run
QUEUE = 4                           # tokens that wait for the engine
SPREAD = 500                        # rows of a region


def word(rng: random.Random, *, least: int = 0, top: int = 30) -> int:
    """A finite binary16 word with an exponent field from `least` to `top`."""
    return rng.getrandbits(1) << 15 | rng.randint(least, top) << 10 | rng.getrandbits(10)


def signed_bits(rng: random.Random, bits: int) -> int:
    """A signed number of any magnitude that `bits` bits hold."""
    magnitude = rng.getrandbits(rng.randint(1, bits - 1))
    return rng.choice((-magnitude, magnitude))


def joined(values, *, width: int) -> int:
    return sum((value & (1 << width) - 1) << width * k for k, value in enumerate(values))


class Groups:
    """Groups to update: their rows and sums at random, their results by `MomentumDescent.compute`."""

    def __init__(self, engine, *, count: int, momentum: bool, rng: random.Random):
        self.engine, self.lanes, self.units = engine, engine.config.lanes, engine.config.units
        self.program = {"rate": word(rng, top=20), "momentum_factor": word(rng, top=14),
                        "inverse_batch": word(rng, top=14), "gradient_log": rng.randint(-6, 6),
                        "step_log": rng.randint(-6, 10), "use_momentum": momentum}
        # Of three layers the last is at work, whose regions are far apart.
        regions = rng.sample(range(0, engine.config.synapses - SPREAD, 2 * SPREAD), 3)
        self.layers = random_layers(rng, engine.layer.fields.shape(), 3)
        self.layers[2] = dict(zip(("weights", "remainders", "momenta"), regions, strict=True))
        self.offsets = rng.sample(range(SPREAD), count)
        self.summed = [rng.choice((1, 1, 0)) for _ in range(count)]
        self.rows, self.sums, self.results = {}, [], []
        kept = regions if momentum else regions[:2]
        for offset, summed in zip(self.offsets, self.summed, strict=True):
            before = [[word(rng) for _ in range(self.lanes)] for _ in range(3)]
            self.rows |= {base + offset: joined(row, width=16) for base, row in zip(kept, before, strict=False)}
            sums = [signed_bits(rng, engine.unit.width) if summed else 0 for _ in range(self.lanes)]
            self.sums.append(sums)
            after = [engine.unit.compute(sum=sums[k], weight=before[0][k], remainder=before[1][k],
                                         momentum=before[2][k], **self.program) for k in range(self.lanes)]
            self.results.append(after)
        self.tokens = [update_layout(engine.config).const({"sum": summed, "offset": offset})
                       for offset, summed in zip(self.offsets, self.summed, strict=True)]

    def beat(self, group: int, beat: int) -> int:
        """The sums of a beat as the lanes would hold them out."""
        part = self.sums[group][beat * self.units:(beat + 1) * self.units]
        return joined(part, width=self.engine.unit.width)

    def writes(self, group: int):
        """(address, row) of each write of a group, in order; None where a cycle passes without one."""
        bases = [self.layers[2][name] + self.offsets[group] for name in ("weights", "remainders", "momenta")]
        banks = [bank_of(lane, self.offsets[group], lanes=self.lanes) for lane in range(self.lanes)]
        rows = [joined([getattr(result, name) for _, result in sorted(
            zip(banks, self.results[group], strict=True), key=lambda pair: pair[0])], width=16)
                for name in ("weight", "remainder", "momentum")]
        found = list(zip(bases, rows, strict=True))
        return found if self.program["use_momentum"] else [*found[:2], None]


class Update:
    """Stands for the lanes, with stalls, and says for every cycle what the engine must put out."""

    def __init__(self, ports: Ports, source: Source, groups: Groups, *, rng: random.Random, stall: float):
        self._ports, self._source, self._groups, self._rng, self._stall = ports, source, groups, rng, stall
        self._lanes = deque((n, beat) for n, summed in enumerate(groups.summed) if summed
                            for beat in range(groups.engine.config.beats))
        self._offered = self._room = False
        self._fetched_at = None                 # cycle from which the rows of the next group are there
        self._beat, self._feed_at = None, 0     # beat to be fed, or None from the cycle on in which a group may follow
        self._writes, self._overflows, self._new = {}, set(), set()    # _new: cycles in which a row is of weights
        self.starts, self.end, self.overflows, self.quiet = [], -1, 0, 0

    _group = -1

    def drive(self, cycle: int):
        self._offered = bool(self._lanes) and (self._offered or self._rng.random() >= self._stall)
        self._ports.put("i_sum_valid", self._offered)
        self._ports.put("i_sums", self._groups.beat(*self._lanes[0]) if self._offered else self._rng.getrandbits(40))

    def observe(self, cycle: int):
        get, groups = self._ports.get, self._groups
        where = f"{self._ports.name}, cycle {cycle}"
        waiting = sum(taken < cycle for taken in self._source.taken) - len(self.starts)
        assert get("i__ready") == self._room, f"i.ready is not {self._room}, {waiting} tokens waiting: {where}"
        self._room = waiting < QUEUE    # seen a cycle later
        idle = not waiting and self._fetched_at is None and self._beat is None and cycle > self.end
        assert get("o_idle") == idle, f"o_idle is not {idle}: {where}"
        group = self._group
        shift = self._beat is not None and bool(groups.summed[group]) and self._offered
        assert get("o_shift") == shift, f"o_shift is not {shift}: {where}"
        taken = self._beat is None and cycle >= self._feed_at and (self._fetched_at or cycle + 1) <= cycle
        if shift or (self._beat is not None and not groups.summed[group]):
            self._feed(group, cycle=cycle)
        if shift:
            assert self._lanes.popleft()[0] == group
            self._offered = False
        if taken:
            self._beat, self._group, self._fetched_at = 0, group + 1, None
        elif self._fetched_at is None and waiting:
            self._fetched_at = cycle + groups.engine.reading - 1
            self.starts.append(cycle)
        overflow = cycle in self._overflows
        assert get("o_overflow") == overflow, f"o_overflow is not {overflow}: {where}"
        found = (get("w_address"), get("w_data")) if get("w_enable") else None
        write = self._writes.pop(cycle, None)
        assert found == write, f"writes {found}, not {write}: {where}"
        assert get("o_new") == (cycle in self._new), f"o_new is not {cycle in self._new}: {where}"
        self.quiet += idle and len(self.starts) == len(groups.tokens)

    def _feed(self, group: int, *, cycle: int):
        groups, latency = self._groups, self._groups.engine.entry + self._groups.engine.unit.latency
        results = groups.results[group][self._beat * groups.units:(self._beat + 1) * groups.units]
        if any(result.overflow for result in results):
            self._overflows.add(cycle + latency + 1)
            self.overflows += 1
        self._beat += 1
        if self._beat == groups.engine.config.beats:
            self._beat, self._feed_at, self.end = None, cycle + groups.engine.pause, cycle + latency + 4
            self._new.add(cycle + latency + 2)
            self._writes |= {cycle + latency + 2 + k: write for k, write in enumerate(groups.writes(group)) if write}


async def updated(dut, name: str, rng: random.Random, *, momentum: bool, gap: float, count: int = GROUPS):
    engine = PARTS[name]
    ports = Ports(dut, name, engine)
    groups = Groups(engine, count=count, momentum=momentum, rng=rng)
    ports.put("i_item", item(2))
    layers = Layers(ports, "layer", engine.layer.fields.shape(), groups.layers, rng=rng)
    for port, field in (("i_rate", "rate"), ("i_momentum", "momentum_factor"), ("i_inverse_batch", "inverse_batch"),
                        ("i_gradient_log", "gradient_log"), ("i_step_log", "step_log"),
                        ("i_use_momentum", "use_momentum")):
        ports.put(port, groups.program[field])
    # Rows that must not count, momenta above all where there are none, read as random bits.
    memory = Memory(ports, "r_", groups.rows, width=16 * engine.config.lanes, rng=rng, latency=SynapseMemory.latency)
    source = Source(ports, "i", groups.tokens, rng=rng, gap=gap)
    agent = Update(ports, source, groups, rng=rng, stall=gap)
    await run(dut, [layers, memory, source, agent], until=lambda: agent.quiet == 4, limit=100 + 80 * count)
    return agent


@cocotb.test()
@cocotb.parametrize(name=UPDATES, momentum=[False, True], gap=[0.0, 0.6])
async def rows_are_updated(dut, name, momentum, gap):
    await reset(dut, BANK)
    agent = await updated(dut, name, random.Random(PARAMETERS["seed"]), momentum=momentum, gap=gap)
    if not gap:
        engine = PARTS[name]
        period = max(engine.reading, engine.config.beats + engine.pause)
        periods = {after - before for before, after in zip(agent.starts[1:], agent.starts[2:], strict=False)}
        assert periods == {period}, f"a group every {periods} cycles, not {period}"
    beats = len(agent.starts) * PARTS[name].config.beats
    assert 0 < agent.overflows < beats, f"{agent.overflows} of {beats} beats overflow"
    dut._log.info(f"{len(agent.starts)} groups, {agent.overflows} beats with overflow")


class Loss:
    """Says for every cycle after `i_start` which error the engine must write; random bits stand in absent rows."""

    def __init__(self, ports: Ports, engine, *, classes: int, rng: random.Random):
        self._ports, self._engine = ports, engine
        self.units, self.start = engine.config.units, rng.randint(1, 4)
        program = {"inverse_steps": word(rng, least=11, top=15), "gain": word(rng, top=18)}
        for name, value in program.items():
            ports.put(f"i_{name}", value)
        ports.put("i_classes", classes)
        readouts = [signed_bits(rng, rng.choice((30, engine.config.sum_bits))) for _ in range(classes)]
        targets = [word(rng, top=20) for _ in range(classes)]
        self.results = [engine.unit.compute(readout=readout, target=target, **program)
                        for readout, target in zip(readouts, targets, strict=True)]
        filler = [rng.getrandbits(64) for _ in range(-classes % self.units)]
        # What lies above the sum's bits in its 64 is not the engine's to read.
        words = [value % (1 << engine.config.sum_bits) | rng.getrandbits(64) >> engine.config.sum_bits
                 << engine.config.sum_bits for value in readouts]
        self.readouts, self.targets = self._rows(words + filler, width=64), self._rows(targets + filler, width=16)

    def _rows(self, values, *, width: int) -> list[int]:
        return [joined(values[at:at + self.units], width=width) for at in range(0, len(values), self.units)]

    def drive(self, cycle: int):
        self._ports.put("i_start", cycle == self.start)

    def observe(self, cycle: int):
        get, at = self._ports.get, cycle - self.start - 1 - ROW_LATENCY - self._engine.unit.latency
        where = f"{self._ports.name}, cycle {cycle}"
        idle = cycle <= self.start or at >= len(self.results)
        assert get("o_idle") == idle, f"o_idle is not {idle}: {where}"
        due = self.results[at] if 0 <= at < len(self.results) else None
        lane = at % self.units
        assert get("errors__enable") == (1 << lane if due else 0), f"errors written to the wrong lanes: {where}"
        assert get("o_overflow") == bool(due and due.overflow), f"o_overflow: {where}"
        if due:
            found = get("errors__address"), get("errors__data") >> 16 * lane & 0xFFFF
            assert found == (at // self.units, due.error), f"class {at} as {found}, not {due}: {where}"


async def lost(dut, name: str, rng: random.Random, *, cases):
    engine = PARTS[name]
    overflows = 0
    for classes in cases:
        ports = Ports(dut, name, engine)
        agent = Loss(ports, engine, classes=classes, rng=rng)
        overflows += sum(result.overflow for result in agent.results)
        readouts = Memory(ports, "readout__", agent.readouts, width=64 * agent.units, rng=rng, latency=ROW_LATENCY)
        targets = Memory(ports, "targets__", agent.targets, width=16 * agent.units, rng=rng, latency=ROW_LATENCY)
        end = agent.start + classes + engine.unit.latency + 7
        cycles = iter(range(end + 1))
        await run(dut, [agent, readouts, targets], until=lambda: next(cycles) == end, limit=end + 1)  # noqa: B023
        await edge(dut)
    return overflows


@cocotb.test()
@cocotb.parametrize(name=LOSSES)
async def errors_are_those_of_the_loss(dut, name):
    await reset(dut, BANK)
    cases = (1, 2, 5, 16, 11)
    overflows = await lost(dut, name, random.Random(PARAMETERS["seed"]), cases=cases)
    assert 0 < overflows < sum(cases), f"{overflows} of {sum(cases)} errors overflow"


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    for name in UPDATES:
        assert await faulty(dut, BANK, Ports(dut, name, PARTS[name]).outputs,
                            lambda rng, name=name: updated(dut, name, rng, momentum=True, gap=0.3),
                            seed=PARAMETERS["seed"])
    for name in LOSSES:
        assert await faulty(dut, BANK, Ports(dut, name, PARTS[name]).outputs,
                            lambda rng, name=name: lost(dut, name, rng, cases=(16, 11, 15)), seed=PARAMETERS["seed"])
