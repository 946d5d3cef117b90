"""Bench of Schedule, Feeder and Collector: every item and beat in its place, and none before what it depends on."""

import random
from collections import deque

import cocotb

from autapse.hw.contract.program import LAYER_ROW
from autapse.hw.engine.schedule import Mode
from autapse.hw.engine.walk import token_layout
from bench import bench_parameters
from engine_cycles import Memory, Ports, Sink, Source, faulty, reset, run, values
from engine_items import descriptor, item, random_layer
from engine_parts import FLIGHT, bank

PARAMETERS = bench_parameters()
BANK = bank("order")
PARTS = BANK.components
CASES = [(1, 1), (1, 4), (2, 1), (3, 5), (5, 2)]  # layers, steps
FETCH = 3


def wavefront(mode: Mode, *, layers: int, steps: int):
    """(active, step or None, start or None, layer) of every item, in order."""
    if mode == Mode.GRADIENT:
        return [(1, None, None, layer) for layer in range(layers)]
    result = []
    for slot in range(steps + layers - 1):
        for position in range(layers):
            lag = slot - position
            active = 0 <= lag < steps
            step = (steps - 1 - lag if mode == Mode.BACKWARD else lag) if active else None
            layer = layers - 1 - position if mode == Mode.BACKWARD else position
            result.append((int(active), step, int(lag == 0), layer))
    return result


async def scheduled(dut, rng, *, stall: float):
    ports = Ports(dut, "schedule", PARTS["schedule"])
    for layers, steps in CASES:
        table = [random_layer(rng) for _ in range(layers)]
        memory = Memory(ports, "r_", [descriptor(layer) for layer in table], width=16 * LAYER_ROW, rng=rng)
        for mode in Mode:
            expected = wavefront(mode, layers=layers, steps=steps)
            sink = Sink(ports, "o", rng=rng, stall=stall)
            ports.put("i_mode", mode.value)
            ports.put("i_steps", steps)
            ports.put("i_layers", layers)

            class Start:
                def drive(self, cycle):
                    ports.put("i_start", cycle == 1)

                def observe(self, cycle):
                    idle = bool(ports.get("o_idle"))
                    assert idle == (cycle <= 1 or len(sink.found) == len(expected)), f"o_idle in cycle {cycle}"  # noqa: B023

            ended = deque([False] * 6, maxlen=6)

            def until():
                ended.append(len(sink.found) == len(expected))  # noqa: B023
                return ended[0]  # noqa: B023

            # Sink first: Start looks one cycle behind it.
            await run(dut, [Start(), memory, sink], until=until, limit=60 + 20 * len(expected))
            assert len(sink.found) == len(expected), f"{len(sink.found)} items, not {len(expected)}"
            for at, ((cycle, found), (active, step, start, layer)) in enumerate(zip(sink.found, expected, strict=True)):
                where = f"{mode} {layers} layers {steps} steps, item {at} {values(found)}"
                flags = {"active": active, "first": int(layer == 0), "last": int(layer == layers - 1),
                         "final": int(at == len(expected) - 1)}
                flags |= {} if step is None else {"step": step, "start": start}
                assert {name: int(found[name]) for name in flags} == flags, where
                assert values(found.layer) == table[layer], where
                if not stall:
                    assert cycle == 1 + FETCH * (at + 1), f"item {at} in cycle {cycle}, {FETCH} per item"


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.6])
async def schedule_is_the_wavefront(dut, stall):
    await reset(dut, BANK)
    await scheduled(dut, random.Random(PARAMETERS["seed"]), stall=stall)


class Beats:
    """Follows every beat from its issue to its collection, and every item to its retirement."""

    lag = 3

    def __init__(self, ports: Ports, *, items, tokens, beats: int, layers: int, rng: random.Random, gap: float):
        self._ports, self._rng, self._gap, self._layers, self._beats = ports, rng, gap, layers, beats
        self._items = items
        # (item number, index in the layer, token) of every beat to come.
        self._plan = deque()
        left = deque(tokens)
        for number, entry in enumerate(items):
            if entry.active:
                for group in range(int(entry.layer.groups)):
                    token = left.popleft()
                    self._plan += [(number, group * beats + beat, token) for beat in range(beats)]
        self._issued: dict[tuple[int, int], int] = {}
        self._flying = deque()
        self._begun = self.retired = self.finals = 0
        self._retire_at: dict[int, int] = {}
        self.issues = 0

    def drive(self, cycle: int):
        self._ports.put("feeder__i_sum_valid", self._rng.random() >= self._gap)
        self._ports.put("feeder__i_layers", self._layers)

    def observe(self, cycle: int):
        self._collect(cycle)
        get = self._ports.get
        issue, shift = get("feeder__o_issue"), get("feeder__o_shift")
        if get("feeder__o_begin"):
            assert self._begun < len(self._items), "more items than came"
            assert get("feeder__o_next").as_bits() == self._items[self._begun].as_bits(), f"item {self._begun}"
            self._begun += 1
        if not issue:
            assert not shift, f"a sum shifted without a beat in cycle {cycle}"
            return
        assert self._plan, f"a beat that no token asked for, in cycle {cycle}"
        number, index, token = self._plan.popleft()
        found = (get("feeder__o_item").as_bits(), get("feeder__o_token").as_bits(), get("feeder__o_index"),
                 get("feeder__o_beat"), shift)
        wanted = (self._items[number].as_bits(), token.as_bits(), index, index % self._beats, int(token.sum))
        assert found == wanted, f"beat {index} of item {number}: {found}, not {wanted}"
        before = number - self._layers
        while before >= 0 and not self._items[before].active:
            before -= self._layers
        if before >= 0:
            free = self._issued[before, index] + FLIGHT
            assert free < cycle, f"beat {index} of item {number} read its state before item {before} wrote it"
        self._issued[number, index] = cycle
        self._flying.append((cycle + FLIGHT, number, index))
        self.issues += 1

    def _collect(self, cycle: int):
        get = self._ports.get
        if self._flying and self._flying[0][0] == cycle:
            _, number, index = self._flying.popleft()
            end = index % self._beats == self._beats - 1
            found = (get("collector__o_item").as_bits(), get("collector__o_index"), get("collector__o_beat"),
                     get("collector__o_group_end"), get("collector__o_fresh"))
            wanted = (self._items[number].as_bits(), index, index % self._beats, int(end), int(index == 0))
            assert found == wanted, f"collected beat {index} of item {number}: {found}, not {wanted}"
            if index == int(self._items[number].layer.groups) * self._beats - 1:
                self._retire_at[cycle + self.lag] = number
        retire, final = get("collector__o_retire"), get("collector__o_final")
        due = self._retire_at.pop(cycle, None)
        if retire:
            assert self.retired < len(self._items), "more retired than came"
            entry = self._items[self.retired]
            assert due == (self.retired if entry.active else None), f"item {self.retired} retired in cycle {cycle}"
            assert final == int(entry.final), f"o_final at item {self.retired}"
            self.retired += 1
        else:
            assert due is None and not final, f"item {due} did not retire {self.lag} cycles after its last beat"


async def ends(dut, name: str, rng: random.Random, *, layers: int, gap: float, count: int = 40):
    lanes, beats = (2, 1) if name == "ends_1" else (4, 4)
    ports = Ports(dut, name, PARTS[name])
    groups = [rng.randrange(1, 4) for _ in range(layers)]
    items = [item(random_layer(rng, groups=groups[n % layers]), active=int(n >= count - 1 or rng.random() < 0.8),
                  step=n, final=int(n == count - 1)) for n in range(count)]
    tokens = []
    for entry in items:
        if entry.active:
            for group in range(int(entry.layer.groups)):
                tokens.append(token_layout(lanes).const({
                    "sum": rng.getrandbits(1), "end": int(group == int(entry.layer.groups) - 1),
                    "spikes": rng.getrandbits(lanes), "masks": rng.getrandbits(lanes)}))
    agents = [Source(ports, "feeder__i_item", items, rng=rng, gap=gap),
              Source(ports, "feeder__i_token", tokens, rng=rng, gap=gap),
              Beats(ports, items=items, tokens=tokens, beats=beats, layers=layers, rng=rng, gap=gap)]
    await run(dut, agents, until=lambda: agents[2].retired == count, limit=60 * count)
    assert agents[2].issues == len(tokens) * beats


@cocotb.test()
@cocotb.parametrize(name=["ends_1", "ends_4"], layers=[1, 2, 3], gap=[0.0, 0.5])
async def beats_keep_their_order(dut, name, layers, gap):
    await reset(dut, BANK)
    await ends(dut, name, random.Random(PARAMETERS["seed"] + layers), layers=layers, gap=gap)


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    outputs = Ports(dut, "schedule", PARTS["schedule"]).outputs
    # Addresses are random bits where no row lies, so a fault on one is seen as a wrong descriptor.
    assert await faulty(dut, BANK, outputs, lambda rng: scheduled(dut, rng, stall=0.3), seed=PARAMETERS["seed"])
    outputs = Ports(dut, "ends_4", PARTS["ends_4"]).outputs
    assert await faulty(dut, BANK, outputs, lambda rng: ends(dut, "ends_4", rng, layers=2, gap=0.3),
                        seed=PARAMETERS["seed"])
