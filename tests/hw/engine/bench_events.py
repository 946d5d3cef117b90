"""Bench of Scanner: every event of a step in order, to the cycle, and no list filled while both are in use."""

import random

import cocotb

from bench import bench_parameters
from engine_cycles import Memory, Ports, Sink, Source, faulty, reset, run, values
from engine_items import item, random_layer
from engine_parts import bank

PARAMETERS = bench_parameters()
BANK = bank("events")
PARTS = BANK.components
SCANS = [name for name in PARTS if name.startswith("scan")]
ADDRESSES = 1 << 24


class Scans:
    """Model of a Scanner to the cycle; retires items and releases lists some time after they were taken."""

    def __init__(self, ports: Ports, plans, sink: Sink, *, layers: int, rng: random.Random, delay: float):
        self._ports, self._plans, self._sink, self._layers = ports, plans, sink, layers
        self._rng, self._delay = rng, delay
        self._number, self._begin, self._buffer = -1, None, 0
        self._flight = self._lists = self._written = self._used = self._owed = 0
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
        start = bool(valid and idle and self._flight <= self._layers and self._lists < 2)
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
        # Start, the first row, a cycle a hit or an empty row, the bias, then the offer.
        offer = self._begin + 1 + (plan["listed"] and 1 + plan["cycles"])
        assert get("o__valid") == (cycle >= offer), f"item {self._number} is not offered from cycle {offer} on"
        if plan["listed"]:
            assert offer - self._begin + 1 <= plan["rows"] + plan["hits"] + 4
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


def scan_plan(unit, entry, rows, *, steps: int, offset: int) -> dict:
    """What a scanner makes of an item: its events and how long it takes, from its definition."""
    layer, step, lanes = entry.layer, int(entry.step), unit.lanes
    if unit.errors:
        listed, count, bias = entry.active and not entry.last, int(layer.next_groups), 0
        first = int(layer.next_errors) + offset + step
    else:
        listed, count, bias = entry.active, int(layer.input_groups), int(layer.bias)
        first = int(layer.spikes_in) + step
    events, cycles = [], bias
    for k in range(count if listed else 0):
        row = rows[first + k * steps]
        if unit.errors:
            words = [row >> 16 * lane & 0xFFFF for lane in range(lanes)]
            column = int(layer.next_weights) + k * int(layer.next_row_step)
            hits = [word | (column + lane) % ADDRESSES << 16 for lane, word in enumerate(words) if word]
        else:
            hits = [k * lanes + lane for lane in range(lanes) if row >> lane & 1]
        events += hits
        cycles += max(len(hits), 1)
    hits = len(events)
    return {"item": entry, "events": events + [int(layer.inputs)] * (bias and int(listed)), "listed": int(listed),
            "cycles": cycles, "rows": count, "hits": hits}


async def scanned(dut, name: str, rng: random.Random, *, layers: int, stall: float, count: int = 40):
    unit, ports = PARTS[name], Ports(dut, name, PARTS[name])
    steps, offset, most = rng.randrange(2, 7), rng.randrange(3) if unit.errors else 0, (unit.events - 1) // unit.lanes
    word = (1 << 16) - 1 if unit.errors else 1
    width = 16 if unit.errors else 1
    rows = [sum(rng.randint(1, word) << width * lane for lane in range(unit.lanes) if rng.random() < 0.4)
            for _ in range(40)]
    items = []
    for _ in range(count):
        groups, step = rng.randint(1, most), rng.randrange(steps)
        first = rng.randrange(40 - offset - steps * groups)
        layer = random_layer(rng, next_groups=groups, input_groups=groups, next_errors=first, spikes_in=first)
        items.append(item(layer, active=int(rng.random() < 0.8), step=step, last=int(rng.random() < 0.2)))
    plans = [scan_plan(unit, entry, rows, steps=steps, offset=offset) for entry in items]
    ports.put("i_layers", layers)
    ports.put("i_steps", steps)
    ports.put("i_offset", offset)
    sink = Sink(ports, "o", rng=rng, stall=stall)
    scans = Scans(ports, plans, sink, layers=layers, rng=rng, delay=0.9 if stall else 0.0)
    agents = [Memory(ports, "rows__", rows, width=width * unit.lanes, rng=rng),
              Source(ports, "i", items, rng=rng, gap=stall / 2), sink, scans]
    await run(dut, agents, until=lambda: scans.done == count, limit=100 * count)
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
        assert await faulty(dut, BANK, outputs, lambda rng, name=name: scanned(dut, name, rng, layers=2, stall=0.4),
                            seed=PARAMETERS["seed"])
