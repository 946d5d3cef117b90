"""Bench of Schedule, Feeder and Collector: every item and beat in its place, and none before what it depends on."""

import random
from collections import deque

import cocotb

from autapse.hw.engine.look import token_layout
from autapse.hw.engine.schedule import Mode
from bench import bench_parameters
from engine_cycles import Ports, Sink, Source, faulty, reset, run, values
from engine_items import Layers, item, random_layers
from engine_parts import FLIGHT, bank

PARAMETERS = bench_parameters()
BANK = bank("order")
PARTS = BANK.components
CASES = [(1, 1), (1, 4), (2, 1), (3, 5), (5, 2)]  # layers, steps
PACE, FIRST = 2, 2  # cycles per item, and from the start to the first


def wavefront(mode: Mode, *, layers: int, steps: int, present: int):
    """(active, step or None, start or None, end or None, layer) of every item, in order."""
    if mode == Mode.GRADIENT:
        return [(present >> layer & 1, None, None, None, layer) for layer in range(layers)]
    result = []
    for slot in range(steps + layers - 1):
        for position in range(layers):
            lag = slot - position
            active = 0 <= lag < steps
            step = (steps - 1 - lag if mode == Mode.BACKWARD else lag) if active else None
            layer = layers - 1 - position if mode == Mode.BACKWARD else position
            end = int(step == steps - 1) if active else None
            result.append((int(active) & present >> layer, step, int(lag == 0), end, layer))
    return result


async def scheduled(dut, rng, *, stall: float, absent: bool):
    ports = Ports(dut, "schedule", PARTS["schedule"])
    for layers, steps in CASES:
        for mode in Mode:
            # Any layer may be absent, those at both ends too.
            present = rng.getrandbits(16) & ~(1 << rng.choice((0, layers - 1))) if absent else 0xFFFF
            ports.put("i_present", present)
            expected = wavefront(mode, layers=layers, steps=steps, present=present)
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
            await run(dut, [Start(), sink], until=until, limit=60 + 20 * len(expected))
            assert len(sink.found) == len(expected), f"{len(sink.found)} items, not {len(expected)}"
            for at, (cycle, found) in enumerate(sink.found):
                active, step, start, end, layer = expected[at]
                where = f"{mode} {layers} layers {steps} steps, item {at} {values(found)}"
                flags = {"active": active, "first": int(layer == 0), "last": int(layer == layers - 1),
                         "final": int(at == len(expected) - 1), "layer": layer}
                flags |= {} if step is None else {"step": step, "start": start, "end": end}
                assert {name: int(found[name]) for name in flags} == flags, where
                if not stall:
                    assert cycle == 1 + FIRST + PACE * at, f"item {at} in cycle {cycle}, {PACE} per item"


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.6], absent=[False, True])
async def schedule_is_the_wavefront(dut, stall, absent):
    await reset(dut, BANK)
    await scheduled(dut, random.Random(PARAMETERS["seed"]), stall=stall, absent=absent)


class Bounded(Source):
    """Offers an item while no more than `most` before it are unfinished, as the scanner does."""

    def __init__(self, *arguments, most: int, **options):
        super().__init__(*arguments, **options)
        self.most, self.retired = most, 0

    def drive(self, cycle: int):
        if not self._offered and len(self.taken) - self.retired > self.most:
            self._ports.put(f"{self._port}__valid", 0)
        else:
            super().drive(cycle)


class Beats:
    """Model of both ends to the cycle: every beat from its issue to its collection, every item to its retirement."""

    def __init__(self, ports: Ports, unit, *, items, tables, tokens: Source, source: Source, layers: int,
                 rng: random.Random, gap: float):
        self._ports, self._rng, self._gap, self._layers = ports, rng, gap, layers
        self._tables, self._items, self._tokens, self._source = tables, items, tokens, source
        self._beats, self.lag = unit.config.beats, unit.units["collector"].lag
        self._issued: dict[tuple[int, int], int] = {}
        self._flying, self._passed = deque(), deque()   # beats in the units, and items whose beats are not all back
        self._next = self._popped = self._index = 0     # next item to begin, tokens used, beat in the layer
        self._hand = False                              # the next token is in hand
        self._current, self._looked, self._flight = None, -1, 0
        self._counted = layers + 1  # items unfinished, as the feeder knows it: without those that retired just now
        self._retire_at: dict[int, int] = {}
        self.retired = self.issues = self.waited = 0

    def _groups(self, number: int) -> int:
        return self._tables[int(self._items[number].layer)]["groups"]

    def drive(self, cycle: int):
        self._sum = self._rng.random() >= self._gap
        self._ports.put("feeder__i_sum_valid", self._sum)
        self._ports.put("feeder__i_layers", self._layers)

    def observe(self, cycle: int):
        flight, pipeline, passed = self._flight, len(self._flying), len(self._passed)
        counted, self._went = self._counted, False
        self._collect(cycle)
        begin = issue = False
        if self._current is None:
            begin = self._begin(cycle, passed)
        else:
            issue = self._issue(cycle, flight=counted, pipeline=pipeline)
        last = issue and self._current is None
        assert self._ports.get("feeder__o_last") == last, f"o_last in cycle {cycle} is not {last}"
        # A token that came in an earlier cycle is taken in hand as the one before it goes.
        done = issue and self._index % self._beats == 0
        if done or not self._hand:
            self._hand = self._popped < len(self._tokens.taken) and self._tokens.taken[self._popped] < cycle
        assert self._ports.get("feeder__o_begin") == begin, f"o_begin in cycle {cycle} is not {begin}"
        assert self._ports.get("feeder__o_issue") == issue, f"o_issue in cycle {cycle} is not {issue}"
        assert issue or not self._ports.get("feeder__o_shift"), f"a sum shifted without a beat in cycle {cycle}"
        # An item's layer has been looked up if it was the next one in the cycle before.
        waiting = self._next < len(self._source.taken) and self._source.taken[self._next] < cycle
        self._looked = self._next if waiting and not self._went else -1
        self._counted = flight + self._went
        self._source.retired = self.retired

    def _begin(self, cycle: int, passed: int) -> bool:
        """The next item goes on to the collector, an inactive one at once, another when its layer is known."""
        number = self._next
        if number == len(self._source.taken) or self._source.taken[number] >= cycle or passed == 4:
            return False
        entry = self._items[number]
        assert self._ports.get("feeder__o_next").as_bits() == entry.as_bits(), f"item {number}"
        if entry.active and self._looked != number:
            return False
        self._went = True
        self._next, self._flight = number + 1, self._flight + 1
        self._passed.append(number)
        if entry.active:
            self._current, self._index = number, 0
            self._same_fields("feeder__o_next_fields", number)
        return bool(entry.active)

    def _same_fields(self, port: str, number: int):
        table = self._tables[int(self._items[number].layer)]
        found = values(self._ports.get(port))
        assert found == {name: table[name] for name in found}, f"{port} of item {number}: {found}"

    def _issue(self, cycle: int, *, flight: int, pipeline: int) -> bool:
        get, number, index = self._ports.get, self._current, self._index
        total = self._groups(number) * self._beats
        if not self._hand:
            return False
        token = self._tokens.payloads[self._popped]
        independent = flight <= self._layers or pipeline < total
        self.waited += not independent
        if not independent or (token["sum"] and not self._sum):
            return False
        found = (get("feeder__o_item").as_bits(), get("feeder__o_token").as_bits(), get("feeder__o_index"),
                 get("feeder__o_beat"), get("feeder__o_shift"))
        wanted = (self._items[number].as_bits(), token.as_bits(), index, index % self._beats, int(token["sum"]))
        assert found == wanted, f"beat {index} of item {number}: {found}, not {wanted}"
        self._same_fields("feeder__o_fields", number)
        before = number - self._layers
        while before >= 0 and not self._items[before].active:
            before -= self._layers
        if before >= 0:
            free = self._issued[before, index] + FLIGHT
            assert free < cycle, f"beat {index} of item {number} read its state before item {before} wrote it"
        self._issued[number, index] = cycle
        self._flying.append((cycle + FLIGHT, number, index))
        self.issues += 1
        self._index += 1
        self._popped += index % self._beats == self._beats - 1
        if self._index == total:
            self._current = None
        return True

    def _collect(self, cycle: int):
        get = self._ports.get
        if self._flying and self._flying[0][0] == cycle:
            _, number, index = self._flying.popleft()
            end = index % self._beats == self._beats - 1
            found = (get("collector__o_item").as_bits(), get("collector__o_index"), get("collector__o_beat"),
                     get("collector__o_group_end"), get("collector__o_fresh"))
            wanted = (self._items[number].as_bits(), index, index % self._beats, int(end), int(index == 0))
            assert found == wanted, f"collected beat {index} of item {number}: {found}, not {wanted}"
            assert get("collector__layer__index") == int(self._items[number].layer), f"layer of item {number}"
            if index == self._groups(number) * self._beats - 1:
                self._retire_at[cycle + self.lag] = self._passed.popleft()
        elif self._passed and not self._items[self._passed[0]].active:
            self._retire_at[cycle + self.lag] = self._passed.popleft()
        retire, final = get("collector__o_retire"), get("collector__o_final")
        due = self._retire_at.pop(cycle, None)
        assert retire == (due is not None), f"item {due}, not another, retires in cycle {cycle}"
        assert final == int(due is not None and self._items[due].final), f"o_final at item {due} in cycle {cycle}"
        self.retired += retire
        self._flight -= retire


async def ends(dut, name: str, rng: random.Random, *, layers: int, gap: float, count: int = 40):
    unit = PARTS[name]
    ports, config = Ports(dut, name, unit), unit.config
    views = {end: machine.layer.fields.shape() for end, machine in unit.units.items()}
    tables = [
        one | other | {"groups": groups} for one, other, groups in zip(
            random_layers(rng, views["feeder"], layers), random_layers(rng, views["collector"], layers),
            [rng.randrange(1, 4) for _ in range(layers)], strict=True)]
    items = [item(n % layers, active=int(n >= count - 1 or rng.random() < 0.8), step=n, final=int(n == count - 1))
             for n in range(count)]
    tokens = []
    for entry in items:
        groups = tables[int(entry.layer)]["groups"] if entry.active else 0
        tokens += [token_layout(config).const({
            "sum": rng.getrandbits(1), "end": int(group == groups - 1), "spikes": rng.getrandbits(config.lanes),
            "masks": rng.getrandbits(config.lanes)}) for group in range(groups)]
    sources = [Bounded(ports, "feeder__i_item", items, rng=rng, gap=gap, most=layers),
               Source(ports, "feeder__i_token", tokens, rng=rng, gap=gap)]
    beats = Beats(ports, unit, items=items, tables=tables, tokens=sources[1], source=sources[0], layers=layers,
                  rng=rng, gap=gap)
    lookups = [Layers(ports, f"{end}__layer", view, tables, rng=rng) for end, view in views.items()]
    await run(dut, [*sources, *lookups, beats], until=lambda: beats.retired == count, limit=60 * count)
    assert beats.issues == len(tokens) * config.beats
    return beats


@cocotb.test()
@cocotb.parametrize(name=["ends_1", "ends_4"], layers=[1, 2, 3], gap=[0.0, 0.5])
async def beats_keep_their_order(dut, name, layers, gap):
    await reset(dut, BANK)
    beats = await ends(dut, name, random.Random(PARAMETERS["seed"] + layers), layers=layers, gap=gap)
    # A state comes back after FLIGHT cycles, which only a layer of fewer beats has to wait for.
    assert beats.waited or name != "ends_1", "no beat ever waited for the state of the item before it"


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    outputs = Ports(dut, "schedule", PARTS["schedule"]).outputs
    assert await faulty(dut, BANK, outputs, lambda rng: scheduled(dut, rng, stall=0.3, absent=True),
                        seed=PARAMETERS["seed"])
    outputs = Ports(dut, "ends_4", PARTS["ends_4"]).outputs
    assert await faulty(dut, BANK, outputs, lambda rng: ends(dut, "ends_4", rng, layers=2, gap=0.3),
                        seed=PARAMETERS["seed"])
