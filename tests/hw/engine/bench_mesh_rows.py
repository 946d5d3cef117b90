"""Bench of Outbox and Inbox: every row in a packet of the contract's, every packet a row again, in time and in turn."""

import random
from collections import deque
from itertools import pairwise

import cocotb

from autapse.hw.contract.rows import Kind
from bench import bench_parameters
from engine_cycles import Ports, Source, faulty, reset, run
from engine_parts import bank
from mesh_packets import Packets, flits_of, packet, random_row, row_bits

PARAMETERS = bench_parameters()
BANK = bank("mesh_rows")
PARTS = BANK.components
OUTBOXES = [name for name in PARTS if name.startswith("outbox")]
INBOXES = [name for name in PARTS if name.startswith("inbox")]
SEEN = 3    # cycles from a row that comes to a queue that says so
APART = 3   # cycles from one row of weights to the next, at least


def kinds_of(config) -> list[Kind]:
    return list(Kind) if config.training else [Kind.SPIKES]


class Engines:
    """Push rows as gate and update may: spikes and errors by what has left, weights by `o_room`."""

    def __init__(self, ports: Ports, unit, *, rng: random.Random, counts: dict[Kind, int], rate: float):
        self._ports, self._unit, self._rng, self._rate, self.left = ports, unit, rng, rate, dict(counts)
        self._config = unit.config
        self.waiting = {kind: deque() for kind in counts}   # (words, cycle) of rows that have not left
        self.sent = {kind: deque() for kind in counts}      # those that have, and whose packet is to come
        self.fullest = dict.fromkeys(counts, 0)
        self._room, self._next_weights, self._without, self.loads, self.dropped = 0, 0, 0, [], 0
        self._overtaken = {kind: dict.fromkeys(counts, 0) for kind in counts}

    @property
    def done(self) -> bool:
        return not any(self.left.values()) and not any(self.waiting.values()) and not any(self.sent.values())

    def drive(self, cycle: int):
        self._pushed = []
        for kind in self.left:
            may = self._room > 0 if kind == Kind.WEIGHTS else len(self.waiting[kind]) < self._config.outbox
            if kind == Kind.WEIGHTS:
                may = may and cycle >= self._next_weights
            push = bool(self.left[kind]) and may and self._rng.random() < self._rate
            row = random_row(self._rng, self._config, kind)
            if self._rng.random() < 0.1:
                row["targets"] = 0
            name = kind.name.lower()
            self._ports.put(name, getattr(self._unit, name).shape().const({"valid": push, "p": row}))
            if push:
                self.left[kind] -= 1
                if kind == Kind.WEIGHTS:
                    self._room, self._next_weights = self._room - 1, cycle + APART
                self.dropped += not row["targets"]
                if row["targets"]:
                    self._pushed.append((kind, packet(self._config, kind, row)))

    def observe(self, cycle: int):
        sent = self._ports.get("o_sent")
        assert sent & sent - 1 == 0, f"rows of several kinds left in cycle {cycle}: {sent:b}"
        for kind in self.left:
            if sent >> kind & 1:
                self._leave(kind, cycle)
        for kind, words in self._pushed:
            self.waiting[kind].append((words, cycle))
            self.fullest[kind] = max(self.fullest[kind], len(self.waiting[kind]))
        room = self._ports.get("o_room")
        if room:
            self._room = self._unit.reserve
        if Kind.WEIGHTS in self.left:
            self._without = 0 if self.waiting[Kind.WEIGHTS] else self._without + 1
            assert room or self._without < SEEN, f"no room for weights in cycle {cycle}, where none wait"

    def _leave(self, kind: Kind, cycle: int):
        assert self.waiting[kind], f"a row of {kind.name} left in cycle {cycle} that never came"
        words, came = self.waiting[kind].popleft()
        self.sent[kind].append((words, cycle))
        # When the queue was seen to have it, and what has gone before it since.
        self.loads.append((cycle, kind, len(words), came))
        for other, queue in self.waiting.items():
            if other != kind and queue and queue[0][1] + SEEN <= cycle:
                self._overtaken[other][kind] += 1
                assert self._overtaken[other][kind] <= 1, f"{kind.name} overtook {other.name} twice, cycle {cycle}"
        self._overtaken[kind] = dict.fromkeys(self.left, 0)

    def packet(self, kind: int, words: list[int], first: int, last: int):
        assert kind in self.sent and self.sent[kind], f"a packet of kind {kind} before its row left, cycle {last}"
        wanted, left = self.sent[kind].popleft()
        assert words == wanted, f"packet of {Kind(kind).name}: {list(map(hex, words))}, not {list(map(hex, wanted))}"
        assert first == left + 1, f"a row left in cycle {left}, its packet began in {first}"


async def sent(dut, name: str, rng: random.Random, *, stall: float, rate: float, count: int = 60):
    ports, unit = Ports(dut, name, PARTS[name]), PARTS[name]
    counts = dict.fromkeys(kinds_of(unit.config), count)
    engines = Engines(ports, unit, rng=rng, counts=counts, rate=rate)
    sink = Packets(ports, "o", unit.config, rng=rng, stall=stall, on_packet=engines.packet)
    longest = flits_of(16 * unit.config.lanes) + 2
    await run(dut, [sink, engines], until=lambda: engines.done,
              limit=500 + int(len(counts) * count * (longest / (1 - stall) + 2 / rate)))
    assert len(sink.packets) + engines.dropped == len(counts) * count, f"{len(sink.packets)} packets"
    return engines


@cocotb.test()
@cocotb.parametrize(name=OUTBOXES, stall_rate=[(0.0, 0.05), (0.0, 0.9), (0.8, 0.9)])
async def rows_leave_as_packets(dut, name, stall_rate):
    await reset(dut, BANK)
    stall, rate = stall_rate
    config = PARTS[name].config
    engines = await sent(dut, name, random.Random(PARAMETERS["seed"]), stall=stall, rate=rate,
                         count=40 if config.outbox < 60 else 80)
    assert engines.dropped, "no row went nowhere"
    if stall:
        assert engines.fullest[Kind.SPIKES] == config.outbox, f"queues never full: {engines.fullest}"
    if not stall:
        # Between rows that waited, a packet of F flits takes F + 1 cycles.
        pairs = [(after[0] - before[0], before[2] + 1) for before, after in pairwise(engines.loads)
                 if after[3] + SEEN <= before[0] + before[2]]
        assert pairs and all(took == formula for took, formula in pairs), pairs
        dut._log.info(f"{len(pairs)} packets at full rate, queues up to {engines.fullest}")


class Written:
    """Stands for memories and counters: takes rows when it likes, checks each to the bit."""

    def __init__(self, ports: Ports, config, wanted, *, rng: random.Random, stall: float):
        self._ports, self._config, self._rng, self._stall = ports, config, rng, stall
        self.wanted, self.cycles, self._offered = deque(wanted), [], None
        self._part = 0      # flits of the row that are written

    def drive(self, cycle: int):
        self._ready = sum((self._rng.random() >= self._stall) << kind for kind in kinds_of(self._config))
        self._ports.put("i_ready", self._ready)

    def observe(self, cycle: int):
        get, config = self._ports.get, self._config
        valid = get("o_valid")
        assert valid or self._offered is None, f"a row was withdrawn in cycle {cycle}"
        if not valid:
            return
        assert self.wanted, f"a row too many, in cycle {cycle}"
        kind, row = self.wanted[0]
        assert valid == 1 << kind, f"a row of kinds {valid:b} in cycle {cycle}, not {kind.name}"
        bits, low = row_bits(config, kind), 32 * self._part
        assert get("o_address") == row["address"], f"address {get('o_address')} in cycle {cycle}, not {row['address']}"
        assert get("o_part") == 1 << self._part, f"part {get('o_part'):b} in cycle {cycle}, not {self._part}"
        flit = get("o_flit") % (1 << min(bits - low, 32))
        assert flit == row["row"] >> low & 0xFFFF_FFFF, f"flit {flit:x} in cycle {cycle}, not of {row}"
        last = low + 32 >= bits
        assert get("o_last") == last, f"o_last in cycle {cycle} is not {last}"
        layers = 1 << (max(config.layers, 2) - 1).bit_length()
        place = row["step"] % config.step_slots + row["layer"] % layers * config.step_slots
        assert get("o_place") == place, f"place {get('o_place')}, not {place}, in cycle {cycle}"
        self._offered = kind
        if self._ready >> kind & 1:
            self._part, self._offered = self._part + 1, None
            if last:
                self.wanted.popleft()
                self.cycles.append(cycle)
                self._part = 0


def traffic(rng: random.Random, config, *, count: int, odd: float):
    """(kind, row) of packets and their flits; `odd` of the packets are cut short or of no kind, and to be dropped."""
    rows, flits = [], []
    for _ in range(count):
        kind = rng.choice(kinds_of(config))
        row = random_row(rng, config, kind, targets=rng.randrange(1, 1 << config.nodes))
        words = packet(config, kind, row)
        if rng.random() < odd:
            if rng.random() < 0.5:
                words = words[:rng.randrange(1, 3)]
            else:
                words[0] |= 3 << config.nodes + 5
        else:
            rows.append((kind, row))
        flits += [(word, at == len(words) - 1) for at, word in enumerate(words)]
    return rows, flits


async def taken_in(dut, name: str, rng: random.Random, *, stall: float, odd: float, count: int = 80):
    ports, unit = Ports(dut, name, PARTS[name]), PARTS[name]
    rows, flits = traffic(rng, unit.config, count=count, odd=odd)
    shape = unit.i.payload.shape()
    source = Source(ports, "i", [shape.const({"data": word, "last": last}) for word, last in flits], rng=rng, gap=stall)
    memories = Written(ports, unit.config, rows, rng=rng, stall=stall)
    await run(dut, [source, memories], until=lambda: source.done and not memories.wanted,
              limit=200 + int(len(flits) * 4 / (1 - stall)))
    return source, memories, flits


@cocotb.test()
@cocotb.parametrize(name=INBOXES, stall=[0.0, 0.7], odd=[0.0, 0.2])
async def packets_become_rows(dut, name, stall, odd):
    await reset(dut, BANK)
    source, memories, flits = await taken_in(dut, name, random.Random(PARAMETERS["seed"]), stall=stall, odd=odd)
    if stall or odd:
        return
    starts = [0] + [at + 1 for at, (_, last) in enumerate(flits) if last]
    for number, (first, after) in enumerate(pairwise(starts[:-1])):
        took = source.taken[after] - source.taken[first]
        assert took == after - first, f"packet {number} of {after - first} flits took {took} cycles"
        assert memories.cycles[number] == source.taken[after - 1], f"row {number} in {memories.cycles[number]}"


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    for name in ("outbox_8", "outbox_plain", "inbox_8", "inbox_plain"):
        outputs = Ports(dut, name, PARTS[name]).outputs

        async def scenario(rng, name=name):
            if name in OUTBOXES:
                await sent(dut, name, rng, stall=0.3, rate=0.5, count=30)
            else:
                await taken_in(dut, name, rng, stall=0.3, odd=0.1, count=40)

        # Without weights nobody asks for their room.
        assert await faulty(dut, BANK, outputs, scenario, seed=PARAMETERS["seed"], spare={"outbox_plain__o_room"})
