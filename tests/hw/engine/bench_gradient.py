"""Bench of GradientEngine: all hits of all (input, group of outputs) once and in order, with the marks of each sum."""

import random
from collections import deque

import cocotb

from autapse.hw.contract.chip import MAP_BITS
from autapse.hw.engine.gradient import MeetingScanner
from autapse.hw.engine.lanes import Lanes
from autapse.hw.engine.memory import FAR_LATENCY, ROW_LATENCY
from autapse.hw.engine.table import layer_view
from bench import bench_parameters
from engine_cycles import Memory, Ports, Sink, Source, faulty, reset, run
from engine_items import Layers, item, load_layers, random_layer
from engine_parts import bank

PARAMETERS = bench_parameters()
BANK = bank("gradient")
ENGINE = BANK.components["gradient"]
# (inputs, bias, groups) of the layers that a run takes one after the other.
LAYERS = ((3, 1, 2), (1, 0, 3), (2, 0, 1), (4, 1, 1))
WIDTH = 16 * ENGINE.config.lanes
VIEW = layer_view(ENGINE.config, *MeetingScanner.fields, *(name for name in ENGINE.fields
                                                          if name not in MeetingScanner.fields))


class Batch:
    """Spike histories and active steps at random, and what the engine must make of them."""

    def __init__(self, rng: random.Random, *, words: int, density: float, silent: float, absent):
        self._rng, self._density, self._silent = rng, density, silent
        self.words, self.log = words, (words - 1).bit_length()
        self.used_steps = MAP_BITS * words - rng.randrange(9)
        self.batch_steps = self.used_steps + rng.randrange(9)
        self.history, self.active, self.items, self.tables = {}, {}, [], []
        self.rows = [rng.getrandbits(WIDTH) for _ in range(ENGINE.config.error_rows)]
        self.visits, self.tokens = [], []   # (row, first, last), and (sum, offset)
        self.ends = []                      # visits, tokens and groups up to the end of each layer
        bases = {"history": rng.randrange(60), "active": rng.randrange(20)}
        groups_done = 0
        for number, (inputs, bias, groups) in enumerate(LAYERS):
            layer = random_layer(rng, VIEW, inputs=inputs, bias=bias, groups=groups, row_step=rng.randrange(8, 16),
                                 errors=rng.randrange(99), **bases)
            self.tables.append(layer)
            self.items.append(item(number, active=int(number not in absent), final=int(number == len(LAYERS) - 1)))
            if number in absent:
                self.ends.append((len(self.visits), len(self.tokens), groups_done))
                continue
            spikes = [self._steps(self.history, bases["history"] + (at << self.log)) for at in range(inputs)]
            active = [self._steps(self.active, bases["active"] + (at << self.log)) for at in range(groups)]
            self._meet(layer, [*spikes, set(range(self.used_steps))] if bias else spikes, active)
            bases["history"] += inputs << self.log
            bases["active"] += groups << self.log
            groups_done += (inputs + bias) * groups
            self.ends.append((len(self.visits), len(self.tokens), groups_done))

    def _steps(self, memory: dict[int, int], base: int) -> set[int]:
        """Steps of one row of a map, as stored there; none at all in a part of the rows."""
        silent = self._rng.random() < self._silent
        steps = {step for step in range(self.used_steps) if not silent and self._rng.random() < self._density}
        for at in range(self.words):
            memory[base + at] = sum(1 << step % MAP_BITS for step in steps if step // MAP_BITS == at)
        return steps

    def _meet(self, layer: dict[str, int], spikes: list[set[int]], active: list[set[int]]):
        for source, fired in enumerate(spikes):
            for group, alive in enumerate(active):
                hits = sorted(fired & alive)
                base = layer["errors"] + group * self.batch_steps
                self.visits += [(base + step, step == hits[0], step == hits[-1]) for step in hits]
                self.tokens.append((bool(hits), group * layer["row_step"] + source))


class Lookout:
    """Stands for lanes and optimiser, with stalls; checks every row, mark, token, count and layer's end."""

    def __init__(self, ports: Ports, batch: Batch, items: Source, *, rng: random.Random, stall: float):
        self._ports, self._batch, self._items, self._rng, self._stall = ports, batch, items, rng, stall
        self._out, self._busy_until, self._idle, self._was_idle = 0, -1, True, True
        self._ended = False
        self._marks, self._addressed, self._final = deque([None] * ENGINE.lag), None, False
        self._saved = deque([0] * ENGINE.saved_lag)
        self.visits = self.tokens = self.groups = 0
        self.layers, self.cycles, self.full = 0, [], 0
        self._last = -ENGINE.config.beats   # cycle of the last row of a sum

    def token(self, cycle: int, payload):
        """One token taken: of a group with hits in the cycle of its last row, which is the lanes' credit too."""
        found = int(payload["sum"]), int(payload.offset)
        assert self.tokens < len(self._batch.tokens), f"more tokens than groups, in cycle {cycle}"
        wanted = self._batch.tokens[self.tokens]
        assert found == wanted, f"token {self.tokens} is {found}, not {wanted}"
        self.tokens += 1
        self._busy_until = cycle + self._rng.randint(1, 9)
        self._ended = bool(wanted[0])

    def drive(self, cycle: int):
        done = self._out > 0 and self._rng.random() >= self._stall
        self._out -= done
        self._ended = False
        self._idle = cycle > self._busy_until and not self._out
        self._ports.put("i_done", done)
        self._ports.put("i_update_idle", self._idle)

    def observe(self, cycle: int):
        get, batch = self._ports.get, self._batch
        self._layer(cycle)
        visit = get("o_visit")
        last = False
        # A row's address is there a cycle after its visit.
        if self._addressed is not None:
            row, self._addressed = self._addressed, None
            assert get("errors__address") == row, f"row {get('errors__address')}, not {row}, in cycle {cycle}"
        if visit:
            assert self.visits < len(batch.visits), f"more rows than hits, in cycle {cycle}"
            self._addressed, _, last = batch.visits[self.visits]
        assert last == self._ended, f"cycle {cycle}: the last row of a group and its token do not go together"
        assert not last or cycle - self._last >= ENGINE.config.beats, f"sums too close in cycle {cycle}"
        if last:
            self._last = cycle
        self._out += last
        assert self._out <= Lanes.credits, f"a third sum in cycle {cycle}"
        self.full += self._out == Lanes.credits
        arriving = self._marks.popleft()
        marks, wanted = (get("o_valid"), get("o_first"), get("o_last")), arriving and (1, *arriving[1:])
        assert marks == (wanted or (0, 0, 0)), f"marks {marks}, not {wanted}, in cycle {cycle}"
        if arriving:
            assert get("o_words") == batch.rows[arriving[0]], f"errors of row {arriving[0]} in cycle {cycle}"
        self._marks.append(batch.visits[self.visits] if visit else None)
        self.visits += visit
        # Counts follow by some cycles, visits and groups alike.
        self._saved.append(visit)
        saved = (get("o_saved") + self._saved.popleft()) % (1 << len(ENGINE.o_saved))
        assert saved in (0, batch.used_steps), f"o_saved off by {saved} in cycle {cycle}"
        self.groups += saved > 0

    def _layer(self, cycle: int):
        """A layer ends, and the next may come, when all of it is out and the optimiser idle."""
        ready, final = self._ports.get("i__ready"), bool(self._ports.get("o_final"))
        taken = sum(at < cycle for at in self._items.taken)
        if self.layers < taken:
            entry = self._batch.items[taken - 1]
            assert self._ports.get("o_item").as_bits() == entry.as_bits(), f"o_item in cycle {cycle}"
            if ready:
                found, wanted = (self.visits, self.tokens, self.groups), self._batch.ends[self.layers]
                assert found == wanted, f"layer {self.layers} ended after {found} rows, tokens, groups, not {wanted}"
                assert self._was_idle, f"layer {self.layers} ended before the optimiser"
                assert self._final == int(entry.final), f"o_final is {self._final} for layer {self.layers}"
                self.cycles.append(cycle - self._items.taken[self.layers])
                self.layers += 1
        else:
            assert ready, f"not ready in cycle {cycle}"
        # An item without work ends in the cycle that takes it.
        passed = [self._batch.items[at] for at in range(taken, len(self._items.taken))
                  if not self._batch.items[at].active]
        assert not (ready and final) or passed, f"o_final in cycle {cycle}, where no layer ends"
        for entry in passed:
            assert final == int(entry.final), f"o_final is {final} for the absent layer {self.layers}"
            self.layers += 1
        assert ready or not self._final, f"o_final in cycle {cycle - 1}, where no layer ends"
        self._final, self._was_idle = final, self._idle


async def met(dut, rng: random.Random, *, words: int, density: float, silent: float, stall: float, absent=()):
    ports = Ports(dut, "gradient", ENGINE)
    batch = Batch(rng, words=words, density=density, silent=silent, absent=absent)
    for port, value in (("i_used_words", words), ("i_used_steps", batch.used_steps), ("i_history_log", batch.log),
                        ("i_batch_steps", batch.batch_steps)):
        ports.put(port, value)
    await load_layers(dut, ports, "layers", batch.tables)
    source = Source(ports, "i", batch.items, rng=rng, gap=stall)
    agent = Lookout(ports, batch, source, rng=rng, stall=stall)
    # The sink before the lookout, which asks whether a token went in the cycle of a row.
    agents = [source, Memory(ports, "history__", batch.history, width=MAP_BITS, rng=rng, latency=ROW_LATENCY),
              Memory(ports, "active__", batch.active, width=MAP_BITS, rng=rng, latency=ROW_LATENCY),
              Memory(ports, "errors__", batch.rows, width=WIDTH, rng=rng, latency=FAR_LATENCY),
              Layers(ports, "layer", ENGINE.layer.fields.shape(), batch.tables, rng=rng),
              Sink(ports, "o_token", rng=rng, stall=stall, on_take=agent.token), agent]
    await run(dut, agents, until=lambda: agent.layers == len(LAYERS),
              limit=1000 + 8 * len(batch.visits) + 40 * len(batch.tokens))
    return agent, batch


@cocotb.test()
@cocotb.parametrize(words=[1, 2, 3], density=[0.04, 0.3], stall=[0.0, 0.7])
async def hits_are_met(dut, words, density, stall):
    await reset(dut, BANK)
    rng = random.Random(PARAMETERS["seed"] + words)
    agent, batch = await met(dut, rng, words=words, density=density, silent=0.3, stall=stall)
    kinds = {kind for kind, _ in batch.tokens}
    assert kinds == {False, True}, "all groups, or none, had hits"
    dut._log.info(f"{agent.visits} rows, {agent.tokens} tokens, {agent.full} cycles with two sums out")


@cocotb.test()
@cocotb.parametrize(absent=[(2,), (0, 1), (1, 3), (0, 1, 2, 3)], stall=[0.0, 0.7])
async def absent_layers_pass(dut, absent, stall):
    """Layers of which a core of a mesh has no cut take a cycle each, and the last one ends the run all the same."""
    await reset(dut, BANK)
    agent, batch = await met(dut, random.Random(PARAMETERS["seed"]), words=2, density=0.3, silent=0.3, stall=stall,
                             absent=absent)
    assert len(agent.cycles) == len(LAYERS) - len(absent) and bool(batch.visits) == bool(agent.cycles)


@cocotb.test()
@cocotb.parametrize(words=[1, 3])
async def a_hit_takes_a_cycle(dut, words):
    """Where every group has more hits than words, a layer takes no more than its hits and some cycles besides."""
    await reset(dut, BANK)
    agent, batch = await met(dut, random.Random(PARAMETERS["seed"]), words=words, density=0.9, silent=0, stall=0)
    before = 0
    for cycles, (visits, _, _) in zip(agent.cycles, batch.ends, strict=True):
        assert cycles <= visits - before + ENGINE.overhead, f"{cycles} cycles for {visits - before} hits"
        before = visits
    dut._log.info(f"{agent.cycles} cycles for {batch.ends} hits")


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    outputs = Ports(dut, "gradient", ENGINE).outputs

    async def scenario(rng):
        for _ in range(8):  # one batch looks at the layer in too few cycles for a fault there to be found for certain
            await met(dut, rng, words=2, density=0.3, silent=0.3, stall=0.3)
    assert await faulty(dut, BANK, outputs, scenario, seed=PARAMETERS["seed"])
