"""Bench of Scanner: every event of a step in order, to the cycle, and no list filled while both are in use."""

import random
from collections import deque

import cocotb

from autapse.hw.engine.memory import FAR_LATENCY, ROW_LATENCY
from autapse.hw.engine.scan import ROWS
from autapse.hw.engine.table import Widths
from bench import bench_parameters
from engine_cycles import Memory, Ports, Sink, Source, faulty, reset, run, values
from engine_items import Layers, item, random_layers
from engine_parts import bank

PARAMETERS = bench_parameters()
BANK = bank("events")
PARTS = BANK.components
SCANS = [name for name in PARTS if name.startswith("scan")]


class Scans:
    """Model of a Scanner to the cycle; retires items and releases lists some time after they were taken."""

    def __init__(self, ports: Ports, plans, sink: Sink, *, layers: int, rng: random.Random, delay: float, fresh: bool):
        self._ports, self._plans, self._sink, self._layers = ports, plans, sink, layers
        self._rng, self._delay = rng, delay
        self._number, self._begin, self._buffer = -1, None, 0
        self._flight = self._lists = self._written = self._used = self._owed = 0
        self._flew = (layers + 1) * fresh    # after a reset nothing may go for a cycle
        self.done = self.waited = 0

    def drive(self, cycle: int):
        self._retire = self._used > 0 and self._rng.random() >= self._delay
        self._release = self._owed > 0 and self._rng.random() >= self._delay
        self._used -= self._retire
        self._owed -= self._release
        self._ports.put("i_retire", self._retire)
        self._ports.put("i_release", self._release)

    def observe(self, cycle: int):
        get = self._ports.get
        valid, idle = get("i__valid"), self._begin is None
        # How many items are out counts as it was a cycle before.
        start = bool(valid and idle and self._flew <= self._layers and self._lists < 2)
        self._flew = self._flight
        self.waited += bool(valid and idle and not start)
        assert get("i__ready") == start, f"ready in cycle {cycle} with {self._flight} items and {self._lists} lists out"
        if not idle:
            self._scan(cycle)
        else:
            assert not get("o__valid") and not get("w_enable"), f"work without an item in cycle {cycle}"
        if start:
            self._number, self._begin, self._written = self._number + 1, cycle, 0
            self._flight += 1
            self._lists += self._plans[self._number]["listed"]
        self._flight -= self._retire
        self._lists -= self._release

    def _scan(self, cycle: int):
        get, plan = self._ports.get, self._plans[self._number]
        if get("w_enable"):
            assert self._written < len(plan["events"]), f"item {self._number} has one event too many"
            found = get("w_buffer"), get("w_index"), get("w_event")
            wanted = self._buffer, self._written, plan["events"][self._written]
            assert found == wanted, f"item {self._number} writes {found}, model {wanted}"
            self._written += 1
        offer = self._begin + plan["cycles"]
        assert get("o__valid") == (cycle >= offer), f"item {self._number} is not offered from cycle {offer} on"
        if len(self._sink.found) > self.done:
            count = len(plan["events"])
            found = values(self._sink.found[-1][1])
            wanted = {"item": values(plan["item"]), "count": count, "buffer": self._buffer, "listed": plan["listed"]}
            assert found == wanted, f"item {self._number}: {found}, model {wanted}"
            assert self._written == count, f"item {self._number} lists {self._written} events, model {count}"
            self.done += 1
            self._used += 1
            self._owed += plan["listed"]
            self._buffer ^= plan["listed"]
            self._begin = None


class Rows:
    """Fills the memory of remote errors, in any order of rows, as an inbox does."""

    def __init__(self, ports: Ports, unit, rows, *, rng: random.Random):
        lanes = unit.config.lanes
        order = rng.sample(range(len(rows)), len(rows))
        parts = max(lanes // 2, 1)
        self._flits = deque((row, part, rows[row] >> 32 * part & 0xFFFF_FFFF, part == parts - 1) for row in order
                            for part in range(parts))
        self._ports, self._rng, self._settle = ports, rng, 3

    @property
    def done(self) -> bool:
        return not self._settle

    def drive(self, cycle: int):
        valid = bool(self._flits) and self._rng.random() < 0.8
        self._settle -= not self._flits
        row, part, flit, last = self._flits.popleft() if valid else [self._rng.getrandbits(1)] * 4
        for name, value in (("valid", valid), ("address", row), ("part", 1 << part), ("flit", flit), ("last", last)):
            self._ports.put(f"w_{name}", value)

    def observe(self, cycle: int):
        """Nothing answers."""


def scan_cycles(hits: list[int], *, bias: int, lag: int, remote: bool = False) -> int:
    """Cycles from taking an item to offering its work, where its rows have so many hits.

    A row may be asked for in every cycle in which the queue has room for those on their way; it is in the queue
    `lag` - 3 cycles later. Rows leave the queue as the last hit of the one before goes; empty ones never enter it.
    Of remote errors a row is in the queue a cycle sooner, but the last word comes a cycle later.
    """
    return remote + _scan_cycles(hits, bias=bias, lag=lag, depth=lag - 4 - remote)


def _scan_cycles(hits: list[int], *, bias: int, lag: int, depth: int) -> int:
    way, queue, asked, cycle, left, taken = deque([None] * depth), deque(), 0, 2, 0, False
    while not taken or left > 1:
        room = len(queue) < ROWS // 2
        if left <= 1 and queue:
            left, at = queue.popleft()
            taken = at == len(hits) - 1
        else:
            left = max(left - 1, 0)
        arrived = way.popleft()
        if arrived is not None and (hits[arrived] or arrived == len(hits) - 1):
            queue.append((hits[arrived], arrived))
        way.append(asked if room and asked < len(hits) else None)
        asked += way[-1] is not None
        cycle += 1
    return cycle + 1 + bias


def scan_plan(unit, entry, layer, rows, *, steps: int, offset: int) -> dict:
    """What a scanner makes of an item: its events and how long it takes, from its definition."""
    step, lanes, bias = int(entry.step), unit.config.lanes, 0
    if unit.errors:
        listed, count = entry.active and not entry.last, layer["next_groups"]
        first = layer["next_errors"] + offset + step
    else:
        listed, count, bias = entry.active, layer["input_groups"], layer["bias"]
        first = layer["spikes_in"] + step
    events, counts, addresses = [], [], 1 << Widths(unit.config).synapse
    for k in range(count):
        row = rows[first + k * steps]
        if unit.errors:
            words = [row >> 16 * lane & 0xFFFF for lane in range(lanes)]
            column = layer["next_weights"] + k * layer["next_row_step"]
            hits = [unit.event.const({"address": (column + lane) % addresses, "factor": word}).as_bits()
                    for lane, word in enumerate(words) if word]
        else:
            hits = [k * lanes + lane for lane in range(lanes) if row >> lane & 1]
        events += hits
        counts.append(len(hits))
    if not listed:
        return {"item": entry, "events": [], "listed": 0, "cycles": 1}
    cycles, hits = scan_cycles(counts, bias=bias, lag=unit.lag, remote=unit.remote), len(events)
    assert max(count, hits) + unit.lag + bias <= cycles <= count + max(hits, 1) - 1 + unit.lag + bias
    return {"item": entry, "events": events + [layer.get("inputs")] * bias, "listed": 1, "cycles": cycles}


async def scanned(dut, name: str, rng: random.Random, *, layers: int, stall: float, count: int = 40):
    unit, ports = PARTS[name], Ports(dut, name, PARTS[name])
    config, view = unit.config, unit.layer.fields.shape()
    steps, offset, most = rng.randrange(2, 6), rng.randrange(3) if unit.errors else 0, (unit.events - 1) // config.lanes
    word = (1 << 16) - 1 if unit.errors else 1
    width = 16 if unit.errors else 1
    stored = config.remote_rows if unit.remote else config.error_rows if unit.errors else config.spike_rows
    # Rows of all kinds, so that the queue runs empty and full.
    rows = [sum(rng.randint(1, word) << width * lane for lane in range(config.lanes) if rng.random() < density)
            for density in (rng.choice((0, 0.4, 0.8)) for _ in range(stored))]
    tables = []
    for layer in random_layers(rng, view, config.layers):
        groups = rng.randint(1, most)
        first = rng.randrange(stored - offset - steps * groups)
        # Columns of a layer begin at a multiple of the lanes, and so do the groups behind each other.
        own = {"next_errors": first, "next_groups": groups, "spikes_in": first, "input_groups": groups,
               **{field: layer[field] // config.lanes * config.lanes for field in ("next_weights", "next_row_step")
                  if field in layer}}
        tables.append(layer | {field: value for field, value in own.items() if field in layer})
    items = [item(rng.randrange(config.layers), active=int(rng.random() < 0.8), step=rng.randrange(steps),
                  last=int(rng.random() < 0.2)) for _ in range(count)]
    plans = [scan_plan(unit, entry, tables[int(entry.layer)], rows, steps=steps, offset=offset) for entry in items]
    ports.put("i_layers", layers)
    ports.put("i_steps", steps)
    if unit.errors:
        ports.put("i_offset", offset)
    sink = Sink(ports, "o", rng=rng, stall=stall)
    scans = Scans(ports, plans, sink, layers=layers, rng=rng, delay=0.9 if stall else 0.0,
                  fresh=not unit.remote)
    if unit.remote:
        filler = Rows(ports, unit, rows, rng=rng)
        await run(dut, [filler], until=lambda: filler.done, limit=20 * stored * config.lanes)
        memory = []
    else:
        memory = [Memory(ports, "rows__", rows, width=width * config.lanes, rng=rng,
                         latency=FAR_LATENCY if unit.errors else ROW_LATENCY)]
    agents = [*memory, Layers(ports, "layer", view, tables, rng=rng),
              Source(ports, "i", items, rng=rng, gap=stall / 2), sink, scans]
    await run(dut, agents, until=lambda: scans.done == count, limit=150 * count)
    assert scans.waited or not stall, "no item ever waited for a place"


@cocotb.test()
@cocotb.parametrize(name=SCANS, layers=[1, 3], stall=[0.0, 0.6])
async def steps_are_listed(dut, name, layers, stall):
    await reset(dut, BANK)
    await scanned(dut, name, random.Random(PARAMETERS["seed"] + layers), layers=layers, stall=stall)


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    for name in SCANS:
        outputs = Ports(dut, name, PARTS[name]).outputs
        # An index counts in one cycle of an item, so a fault on it takes many items to show.
        assert await faulty(dut, BANK, outputs,
                            lambda rng, name=name: scanned(dut, name, rng, layers=2, stall=0.4, count=160),
                            seed=PARAMETERS["seed"])
