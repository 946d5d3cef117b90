"""Bench of Arrivals and of ItemGate between inbox and outbox: no item before its rows, none without room."""

import random
from collections import Counter, deque
from itertools import pairwise

import cocotb

from autapse.hw.contract.rows import Kind
from autapse.hw.engine.table import layer_view
from bench import bench_parameters
from engine_cycles import Ports, Sink, Source, edge, faulty, reset, run
from engine_items import load_layers, random_layers
from engine_parts import bank
from mesh_packets import Packets, packet, random_row, wavefront_items

PARAMETERS = bench_parameters()
BANK = bank("mesh_gate")
PARTS = BANK.components
GATES = ["forward_1", "backward_4", "forward_8"]
PACE = 4    # cycles of an item that may pass


class Counted:
    """Arrivals at random places, two cycles apart at least; another place is looked at, and now and then taken."""

    def __init__(self, ports: Ports, *, rng: random.Random, places: int):
        self._ports, self._rng, self._places = ports, rng, places
        self.counts = Counter()
        self._told = deque([None] * 2)      # arrivals that are counted in later cycles
        self._look, self._take, self._expected, self._sure = 0, False, None, True
        self.taken = self.beside = self.refused = self.clashes = 0

    def drive(self, cycle: int):
        rng = self._rng
        self._arrive = self._told[-1] is None and rng.random() < 0.7
        self._take = self._take or rng.random() < 0.15
        if not self._take and rng.random() < 0.3:
            self._look = rng.randrange(self._places)
        # Rows of an item are all there before it is taken.
        self._place = rng.choice([place for place in range(self._places) if not (self._take and place == self._look)])
        if self._take and self._look in self._told:
            self._take = False
        for port, value in (("i_arrive", self._arrive), ("i_place", self._place), ("i_look", self._look),
                            ("i_take", self._take)):
            self._ports.put(port, value)

    def observe(self, cycle: int):
        if self._expected is not None:
            count, sure = self._ports.get("o_count"), self._ports.get("o_sure")
            assert sure == self._sure, f"o_sure is not {self._sure} in cycle {cycle}"
            assert not sure or count == self._expected, f"count {count}, not {self._expected}, in cycle {cycle}"
        # A count is what it was when it was looked at; the arrival of the cycle before goes in now.
        self._expected = self.counts[self._look] % (1 << 5)
        taken, counted = self._ports.get("o_taken"), self._told[-1]
        assert taken == (self._take and counted is None), f"o_taken is {taken} in cycle {cycle}"
        # What is written as it is read may come out as anything, and a row that comes takes the reader.
        self._sure = not taken and counted != self._look and not self._arrive
        self.clashes += counted == self._look
        if counted is not None:
            self.counts[counted] += 1
        self.refused += self._take and not taken
        if taken:
            self.counts[self._look] = 0
            self.taken += 1
            self.beside += self._arrive
            self._take = False
        self._told.popleft()
        self._told.append(self._place if self._arrive else None)


async def counted(dut, rng: random.Random, *, cycles: int):
    unit = PARTS["arrivals"]
    agent = Counted(Ports(dut, "arrivals", unit), rng=rng, places=1 << len(unit.i_place))
    left = [cycles]

    def until():
        left[0] -= 1
        return not left[0]

    await run(dut, [agent], until=until, limit=cycles + 1)
    return agent


@cocotb.test()
async def rows_are_counted(dut):
    await reset(dut, BANK)
    agent = await counted(dut, random.Random(PARAMETERS["seed"]), cycles=3 * PARAMETERS["cycles"])
    assert agent.beside > 20 and agent.refused > 20, "no item was taken while a row came"
    assert agent.clashes > 20, "no row came as its place was looked at"


class Network:
    """The other cores of a run: send the rows that items wait for, in any order, as early as they like."""

    def __init__(self, ports: Ports, unit, *, rng: random.Random, early: float):
        self._ports, self._unit, self._rng, self._early = ports, unit, rng, early
        self._flits, self._rows, self._to_come = deque(), deque(), []
        self.written, self._offered = Counter(), None

    def start(self, items, waits):
        """Rows of a run: those of later items may come before those of earlier ones, by some places."""
        rng = self._rng
        rows = [(at + rng.random() * rng.choice((1, 12)), self._unit.kind, int(entry.layer), int(entry.step))
                for at, entry in enumerate(items) for _ in range(waits(entry))]
        if self._unit.config.training:
            # Of other kinds, which nobody here counts.
            rows += [(rng.random() * len(items), rng.choice([kind for kind in Kind if kind != self._unit.kind]),
                      rng.randrange(4), rng.randrange(4)) for _ in range(len(items) // 3)]
        self._to_come = sorted(rows, reverse=True)
        self.written.clear()

    @property
    def idle(self) -> bool:
        return not self._flits and not self._rows and not self._to_come

    def drive(self, cycle: int):
        rng, config = self._rng, self._unit.config
        if not self._flits and self._to_come and rng.random() < self._early:
            _, kind, layer, step = self._to_come.pop()
            row = random_row(rng, config, kind, layer=layer, step=step)
            words = packet(config, kind, row)
            self._rows.append((kind, layer, step))
            self._flits.extend((word, at == len(words) - 1) for at, word in enumerate(words))
        self._offered = self._flits[0] if self._flits and (self._offered or rng.random() < 0.9) else None
        self._ports.put("i_rows__valid", self._offered is not None)
        if self._offered:
            self._ports.put("i_rows__payload", self._unit.i_rows.payload.shape().const(
                {"data": self._offered[0], "last": self._offered[1]}))
        self._ready = rng.getrandbits(len(Kind))
        self._ports.put("i_ready", self._ready)

    def observe(self, cycle: int):
        if self._offered and self._ports.get("i_rows__ready"):
            self._flits.popleft()
            self._offered = None
        valid = self._ports.get("o_valid")
        if valid & self._ready and self._ports.get("o_last"):
            assert self._rows, f"a row too many in cycle {cycle}"
            kind, layer, step = self._rows.popleft()
            assert valid == 1 << kind, f"a row of {valid:b} in cycle {cycle}, not of {kind.name}"
            self.written[kind, layer, step] += 1


class Engine(Sink):
    """Takes items, checks that each may pass, and sends its rows a while later."""

    def __init__(self, ports: Ports, unit, *, rng: random.Random, stall: float, tables, network: Network, push: float):
        super().__init__(ports, "o", rng=rng, stall=stall, on_take=self._item)
        self.unit, self._tables, self._network, self._push = unit, tables, network, push
        self._owed = self.sent = 0          # rows of items let through; rows whose packets have begun
        self._due, self.pushed, self.packets = deque(), deque(), None
        self._checked, self.fullest, self._held, self.short = False, 0, 0, 0

    def waits(self, entry) -> int:
        free = entry.last if self.unit.kind == Kind.ERRORS else entry.first
        names = "next_groups" if self.unit.kind == Kind.ERRORS else "input_groups"
        return 0 if free or not entry.active else self._tables[int(entry.layer)][names]

    def sends(self, entry) -> int:
        free = entry.first if self.unit.kind == Kind.ERRORS else entry.last
        return 0 if free or not entry.active else self._tables[int(entry.layer)]["groups"]

    def _item(self, cycle: int, entry):
        # Taken no earlier than all its rows are there, and none of a run to come.
        found = self._network.written[self.unit.kind, int(entry.layer), int(entry.step)]
        if entry.active:
            assert found == self.waits(entry), f"{found} rows of {self.waits(entry)} in cycle {cycle}"
        self._owed += self.sends(entry)
        self._due.extend([int(entry.layer)] * self.sends(entry))

    def drive(self, cycle: int):
        super().drive(cycle)
        rng, config = self._rng, self.unit.config
        self._pushes = bool(self._due) and rng.random() < self._push
        row = random_row(rng, config, self.unit.kind, targets=rng.randrange(1, 1 << config.nodes))
        self._ports.put("row", self.unit.row.shape().const({"valid": self._pushes, "p": row}))
        if self._pushes:
            self._due.popleft()
            self._last = packet(config, self.unit.kind, row)

    def observe(self, cycle: int):
        if self._ports.get("o__valid") and self._standing is None:
            entry = self._ports.get("o__payload")
            room = self.unit.config.outbox - (self._owed - self.packets.started)
            # Room as the gate saw it, which is no more than there is.
            assert self.sends(entry) <= room, f"an item of {self.sends(entry)} rows, room for {room}, cycle {cycle}"
        super().observe(cycle)
        if self._pushes:
            self.pushed.append(self._last)
        self.fullest = max(self.fullest, self._owed - self.packets.started)

    def packet(self, kind: int, words: list[int], first: int, last: int):
        assert self.pushed, f"a packet in cycle {last} of a row that never came"
        assert words == self.pushed.popleft(), f"a row was lost or changed by cycle {last}"


async def gated(dut, name: str, rng: random.Random, *, stall: float, early: float = 0.9, push: float = 0.8,
                blocked: float = 0.0, runs: int = 3, first=None):
    """Several runs, each of which starts when all has come and passed that belongs to the one before."""
    unit = PARTS[name]
    config, ports = unit.config, Ports(dut, name, unit)
    view = layer_view(config, "groups", "input_groups", "next_groups")
    layers, most = min(config.layers, 5), min(config.outbox, 11 // config.lanes if config.lanes == 1 else 9)
    tables = random_layers(rng, view, layers, groups=range(1, most + 1), input_groups=range(1, 8),
                           next_groups=range(1, 8))
    await load_layers(dut, ports, "layers", tables)
    network = Network(ports, unit, rng=rng, early=early)
    engine = Engine(ports, unit, rng=rng, stall=stall, tables=tables, network=network, push=push)
    engine.packets = Packets(ports, "o_rows", config, rng=rng, stall=blocked, on_packet=engine.packet)
    passed = []
    for number in range(runs):
        present = rng.randrange(1, 1 << layers) if number else (1 << layers) - 1
        items = wavefront_items(layers=layers, steps=rng.randrange(1, config.step_slots + 1) if number else
                                config.step_slots, present=present, backward=unit.kind == Kind.ERRORS)
        network.start(items, engine.waits)
        source = Source(ports, "i", items, rng=rng, gap=stall)
        if first:
            # All rows first, then the items, without delay.
            ports.put("i__valid", 0)
            await run(dut, [network, engine, engine.packets], until=lambda: network.idle, limit=90000)
            await edge(dut)
        before = len(engine.found)
        rows = sum(engine.waits(entry) + engine.sends(entry) for entry in items)
        await run(dut, [source, network, engine.packets, engine],
                  until=lambda: source.done and network.idle and not engine.pushed and not engine._due,  # noqa: B023
                  limit=500 + 60 * len(items) + int(rows * 30 / min(early, push, 1 - blocked)))
        await edge(dut)
        found = engine.found[before:]
        assert [entry.as_bits() for _, entry in found] == [entry.as_bits() for entry in items], "items lost or changed"
        passed.append((source.taken, found))
    return engine, passed


@cocotb.test()
@cocotb.parametrize(name=GATES, stall=[0.0, 0.5], early=[0.05, 0.9])
async def items_wait_for_their_rows(dut, name, stall, early):
    await reset(dut, BANK)
    await gated(dut, name, random.Random(PARAMETERS["seed"]), stall=stall, early=early)


@cocotb.test()
@cocotb.parametrize(name=GATES, push=[0.05, 1.0])
async def items_wait_for_room(dut, name, push):
    """The mesh hardly takes anything: queues fill, and not one row is lost."""
    await reset(dut, BANK)
    engine, _ = await gated(dut, name, random.Random(PARAMETERS["seed"]), stall=0.0, blocked=0.9, push=push,
                             runs=2)
    size = PARTS[name].config.outbox
    assert size - 9 < engine.fullest <= size, f"{engine.fullest} rows of {size} at most"


@cocotb.test()
@cocotb.parametrize(name=GATES)
async def an_item_takes_four_cycles(dut, name):
    await reset(dut, BANK)
    engine, passed = await gated(dut, name, random.Random(PARAMETERS["seed"]), stall=0.0, first=True, push=1.0)
    kinds = Counter()
    for taken, found in passed:
        assert taken == [cycle for cycle, _ in found], "taken here and passed on in different cycles"
        left = 0    # the outbox takes rows as they come, one packet after the other, so an item may wait for room
        for (before, _), (cycle, entry) in pairwise(found):
            left += engine.sends(entry)
            took, formula = cycle - before, PACE if entry.active else 1
            kinds[bool(entry.active), took == formula] += 1
            assert took >= formula and (entry.active or took == formula), f"an item took {took} cycles"
            if not engine.sends(entry):
                assert took == formula, f"an item that sends nothing took {took} cycles"
    assert kinds[True, True] > 3 and kinds[False, True] > 3, kinds
    dut._log.info(f"active, in time: {dict(kinds)}")


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    outputs = Ports(dut, "arrivals", PARTS["arrivals"]).outputs
    assert await faulty(dut, BANK, outputs, lambda rng: counted(dut, rng, cycles=600), seed=PARAMETERS["seed"])
    outputs = Ports(dut, "backward_4", PARTS["backward_4"]).outputs
    # Where a row is written is for the bench of the inbox to see.
    assert await faulty(dut, BANK, outputs, lambda rng: gated(dut, "backward_4", rng, stall=0.3, runs=2),
                        seed=PARAMETERS["seed"], spare={"backward_4__o_address"})
