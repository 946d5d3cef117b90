"""Bench of the running gradient: every visit once and in order; then the chain of all its parts, sums and all."""

import random
from collections import deque

import cocotb

from autapse.hw.engine.memory import FAR_LATENCY, ROW_LATENCY
from autapse.hw.engine.schedule import Item
from autapse.hw.engine.table import Widths
from autapse.hw.engine.wide import WideMemory
from bench import bench_parameters
from engine_cycles import Memory, Ports, Sink, Source, edge, faulty, reset, run
from running_batch import DENSE, Batch, Tables
from running_parts import FOUR, ONE, ROWS, bank

PARAMETERS = bench_parameters()
BANK = bank("running")
PARTS = BANK.components
CONFIGS = {"running_4": FOUR, "running_1": ONE, "chain_4": FOUR, "chain_1": ONE}


class Within:
    """Ports of one part of a component, under the part's own names."""

    def __init__(self, ports: Ports, part: str):
        self._ports, self._part = ports, f"{part}__" if part else ""
        self.name = ports.name

    def put(self, port: str, value):
        self._ports.put(self._part + port, value)

    def get(self, port: str):
        return self._ports.get(self._part + port)


class Retired:
    """Stands for the backward engine, which has written the errors of one item after the other."""

    def __init__(self, ports, items: Source, *, rng: random.Random, stall: float):
        self._ports, self._items, self._rng, self._stall = ports, items, rng, stall
        self._retired, self._count, self._now = 0, len(items.payloads), False

    def drive(self, cycle: int):
        self._now = self._retired < self._count and self._rng.random() >= self._stall
        self._ports.put("i_retire", self._now)

    def observe(self, cycle: int):
        assert len(self._items.taken) <= self._retired, f"an item was taken before its errors, in cycle {cycle}"
        self._retired += self._now


class Watch:
    """Counts visits and the dense schedule; checks that idle and final tell the truth."""

    def __init__(self, ports, batch: Batch, sample: int, items: Source, found):
        self._ports, self._items, self._found = ports, items, found
        self._expected = batch.adds[sample]
        self.visits = self.saved = 0
        self.final = None

    def drive(self, cycle: int):
        pass

    def observe(self, cycle: int):
        get = self._ports.get
        self.visits += get("o_visit")
        saved, sign = get("o_saved"), 1 << Widths(FOUR).neuron
        self.saved += (saved ^ sign) - sign
        taken = sum(at < cycle for at in self._items.taken)
        total = sum(map(len, self._expected[:taken]))
        if get("o_idle"):
            assert self._found() == total, f"idle in cycle {cycle} with {self._found()} of {total} visits made"
        ends = self.final is None and taken == len(self._expected) and self._found() == total and get("o_idle")
        assert get("o_final") == ends, f"o_final in cycle {cycle} is not {ends}"
        if ends:
            self.final = cycle


async def tables(dut, ports: Ports, layers):
    writer = Tables(ports, layers)
    await run(dut, [writer], until=lambda: writer.done, limit=2000)
    await edge(dut)
    await run(dut, [writer], until=lambda: True, limit=2)
    await edge(dut)


def started(ports, batch: Batch, sample: int, *, rng: random.Random, stall: float):
    """Registers of a sample, and the agents at every port but `o`."""
    config_words = {"i_steps": batch.steps, "i_batch_steps": batch.batch_steps, "i_offset": sample * batch.steps}
    for port, value in config_words.items():
        ports.put(port, value)
    items = Source(ports, "i", batch.items[sample], rng=rng, gap=stall / 2)
    lanes = batch._lanes
    return items, [items, Retired(ports, items, rng=rng, stall=stall / 2),
                   Memory(ports, "errors__", batch.errors, width=16 * lanes, rng=rng, latency=FAR_LATENCY),
                   Memory(ports, "spikes__", batch.spikes[sample], width=lanes, rng=rng, latency=ROW_LATENCY)]


async def visited(dut, name: str, batch: Batch, rng: random.Random, *, stall: float):
    """All samples of a batch through the engine; cycles of each sample, and those of its adds."""
    whole = Ports(dut, name, PARTS[name])
    ports = Within(whole, "")
    await tables(dut, whole, batch.layers)
    cycles, times, saved, visits = [], [], 0, 0
    for sample in range(batch.samples):
        items, agents = started(ports, batch, sample, rng=rng, stall=stall)
        wanted = deque(add for adds in batch.adds[sample] for add in adds)

        def check(cycle, payload, wanted=wanted):
            assert wanted, f"one visit too many in cycle {cycle}"
            found = int(payload.address), int(payload.words)
            assert found == wanted[0], f"visit {found}, not {wanted[0]}, in cycle {cycle}"
            wanted.popleft()

        sink = Sink(ports, "o", rng=rng, stall=stall, on_take=check)
        watch = Watch(ports, batch, sample, items, lambda sink=sink: len(sink.found))
        await run(dut, [*agents, sink, watch], until=lambda watch=watch: watch.final is not None, limit=20000)
        await edge(dut)
        cycles.append(watch.final + 1)
        times.append([cycle for cycle, _ in sink.found])
        visits += watch.visits
        saved += watch.saved
    made = sum(map(len, times))
    assert visits == made, f"{visits} visits counted, {made} made"
    assert saved == batch.dense - made, f"{saved} visits saved, not {batch.dense - made}"
    return cycles, times


class Update:
    """Stands for the update: a few tokens wait, sums are taken with stalls; checks that each is its row's."""

    def __init__(self, ports, batch: Batch, items: Source, *, rng: random.Random, stall: float, width: int, units: int):
        self._ports, self._batch, self._items, self._rng, self._stall = ports, batch, items, rng, stall
        self._width, self._units = width, units
        self._rows, self._tokens, self._beat, self._begun = batch.rows(), deque(), 0, 0
        self._busy_until, self._shift, self._was_idle = -1, False, True
        self.given = self.ends = 0

    def token(self, cycle: int, payload):
        assert self._begun < len(self._rows), f"one token too many in cycle {cycle}"
        wanted = self._rows[self._begun]
        assert int(payload["sum"]) == 1 and int(payload.offset) == wanted[1], f"token {payload}, not {wanted}"
        assert wanted[0] == len([at for at in self._items.taken if at < cycle]) - 1, f"layer in cycle {cycle}"
        self._tokens.append(wanted)
        self._begun += 1

    def drive(self, cycle: int):
        self._shift = bool(self._tokens) and self._rng.random() >= self._stall
        self._idle = not self._tokens and cycle > self._busy_until
        self._ports.put("i_shift", self._shift)
        self._ports.put("i_update_idle", self._idle)

    def observe(self, cycle: int):
        get, batch = self._ports.get, self._batch
        taken = sum(at < cycle for at in self._items.taken)
        final = taken == len(batch.layers) and self.given == len(self._rows) and self._idle and not self.ends
        assert get("o_final") == final, f"o_final in cycle {cycle} is not {final}"
        self.ends += final
        if taken and not self.ends:
            assert get("o_item").as_bits() == self._items.payloads[taken - 1].as_bits(), f"o_item in cycle {cycle}"
        if get("o_sum_valid"):
            assert self._tokens, f"sums without a token in cycle {cycle}"
            _, _, row = self._tokens[0]
            lanes = batch.sums.get(row, [0] * batch._lanes)[self._beat * self._units:][:self._units]
            wanted = sum((value & (1 << self._width) - 1) << k * self._width for k, value in enumerate(lanes))
            assert get("o_sums") == wanted, f"sums of row {row}, beat {self._beat}, in cycle {cycle}"
            if self._shift:
                self._beat += 1
                if self._beat * self._units == batch._lanes:
                    self._tokens.popleft()
                    self._beat, self.given = 0, self.given + 1
                    self._busy_until = cycle + self._rng.randint(1, 9)


async def summed(dut, name: str, batch: Batch, rng: random.Random, *, stall: float) -> int:
    """All samples of a batch into the wide memory; cycles."""
    ports, cycles = Within(Ports(dut, name, PARTS[name]), "running"), 0
    for sample in range(batch.samples):
        items, agents = started(ports, batch, sample, rng=rng, stall=stall)
        final = []

        class Final:
            def drive(self, cycle: int):
                pass

            def observe(self, cycle: int, final=final):
                final.extend([cycle] * ports.get("o_final"))

        cycles += await run(dut, [*agents, Final()], until=lambda final=final: final, limit=20000) + 1
        await edge(dut)
    return cycles


async def harvested(dut, name: str, batch: Batch, rng: random.Random, *, stall: float) -> int:
    """All sums out of the wide memory; cycles."""
    config, ports = CONFIGS[name], Within(Ports(dut, name, PARTS[name]), "harvest")
    count = len(batch.layers)
    items = Source(ports, "i", [Item.const({"layer": at, "active": 1, "final": int(at == count - 1)})
                                for at in range(count)], rng=rng, gap=stall / 2)
    update = Update(ports, batch, items, rng=rng, stall=stall, width=config.sum_bits, units=config.units)
    tokens = Sink(ports, "o_token", rng=rng, stall=stall, on_take=update.token)
    cycles = await run(dut, [items, tokens, update], until=lambda: update.ends, limit=40000)
    await edge(dut)
    return cycles + 1


async def chained(dut, name: str, rng: random.Random, *, stall: float):
    """Two batches, one given up, one more: each one's sums are its own."""
    config, ports = CONFIGS[name], Ports(dut, name, PARTS[name])

    await cleared(dut, ports, cycles=ROWS)
    for given_up, samples in ((False, 2), (False, 1), (True, 1), (False, 1)):
        one = Batch(rng, config, samples=samples, spiking=0.3, erring=0.5, silent=0.2)
        await tables(dut, ports, one.layers)
        added = await summed(dut, name, one, rng, stall=stall)
        if given_up:
            await cleared(dut, ports, cycles=ROWS)
            continue
        taken = await harvested(dut, name, one, rng, stall=stall)
        await cleared(dut, ports, cycles=0)
        if not stall:
            # A row: its tokens go ahead, so that only the take and the beats count.
            most = len(one.rows()) * (WideMemory.take_latency + config.beats) + 20 * len(one.layers)
            assert taken <= most, f"{taken} cycles for {len(one.rows())} rows"
        dut._log.info(f"{added} cycles to add, {taken} to take {len(one.rows())} rows")


async def cleared(dut, ports: Ports, *, cycles: int):
    """A pulse of `i_clear`, and how long it takes."""
    class Clearing:
        high, over = 0, False

        def drive(self, cycle: int):
            ports.put("i_clear", cycle == 0)

        def observe(self, cycle: int):
            now = ports.get("o_clearing")
            self.high += now
            self.over = cycle > 0 and not now

    agent = Clearing()
    await run(dut, [agent], until=lambda: agent.over, limit=ROWS + 9)
    await edge(dut)
    assert agent.high == cycles, f"{agent.high} cycles of clearing, not {cycles}"


@cocotb.test()
@cocotb.parametrize(name=["running_4", "running_1"], stall=[0.0, 0.6], in_order=[True, False])
async def visits_are_made(dut, name, stall, in_order):
    await reset(dut, BANK)
    rng = random.Random(PARAMETERS["seed"] + in_order)
    batch = Batch(rng, CONFIGS[name], samples=3, spiking=0.3, erring=0.5, silent=0.3, in_order=in_order)
    cycles, times = await visited(dut, name, batch, rng, stall=stall)
    dut._log.info(f"{sum(map(len, times))} visits of {batch.dense} in {sum(cycles)} cycles")


@cocotb.test()
@cocotb.parametrize(name=["running_4", "running_1"])
async def visits_have_no_bubble(dut, name):
    """Where every group has an error and every input spikes, each cycle from the first visit to the last has one."""
    await reset(dut, BANK)
    rng = random.Random(PARAMETERS["seed"])
    batch = Batch(rng, CONFIGS[name], layers=DENSE, samples=1, spiking=1.0, erring=1.0)
    cycles, (times,) = await visited(dut, name, batch, rng, stall=0.0)
    assert times[-1] - times[0] + 1 == len(times) == batch.dense, f"{times[-1] - times[0] + 1} for {len(times)} visits"
    dut._log.info(f"{len(times)} visits in {cycles} cycles")


@cocotb.test()
@cocotb.parametrize(name=["running_4", "running_1"], silent=[0.3, 0.9])
async def cycles_are_as_stated(dut, name, silent):
    await reset(dut, BANK)
    rng = random.Random(PARAMETERS["seed"])
    batch = Batch(rng, CONFIGS[name], samples=1, spiking=0.3, erring=0.5, silent=silent)
    (cycles,), _ = await visited(dut, name, batch, rng, stall=0.0)
    # The first item's way through and the last one's come on top.
    assert cycles <= batch.bound + 20, f"{cycles} cycles, {batch.bound} stated"
    dut._log.info(f"{cycles} cycles, {batch.bound} stated")


@cocotb.test()
@cocotb.parametrize(name=["chain_4", "chain_1"], stall=[0.0, 0.5])
async def sums_are_those_of_the_batch(dut, name, stall):
    await reset(dut, BANK)
    await chained(dut, name, random.Random(PARAMETERS["seed"]), stall=stall)


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    for name in CONFIGS:
        async def scenario(rng, name=name):
            if name.startswith("chain"):
                await chained(dut, name, rng, stall=0.3)
            else:
                batch = Batch(rng, CONFIGS[name], samples=4, spiking=0.5, erring=0.7)
                await visited(dut, name, batch, rng, stall=0.1)

        # Sums do not depend on these; the engine alone, which has them too, is checked to the cycle.
        spare = [f"{name}__running__{port}" for port in ("o_visit", "o_saved", "o_idle")]
        assert await faulty(dut, BANK, Ports(dut, name, PARTS[name]).outputs, scenario, seed=PARAMETERS["seed"],
                            spare=spare)
