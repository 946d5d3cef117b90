"""Bench of History: one bit per spike in its word, each in its cycle, and both histories emptied on demand."""

import random

import cocotb

from autapse.hw.contract.chip import MAP_BITS
from autapse.hw.contract.program import Space
from autapse.hw.engine.memory import ROW_LATENCY, granule, shape_of
from bench import bench_parameters
from engine_cycles import Memory, Ports, Source, faulty, reset, run
from engine_items import Layers, item, random_layers
from engine_parts import bank

PARAMETERS = bench_parameters()
BANK = bank("history")
HISTORY = BANK.components["history"]
CONFIG = HISTORY.config


class Turned:
    """Model of History to the cycle, and the memory of its words; asks now and then for empty histories."""

    def __init__(self, ports: Ports, items, tables, rows, *, words, steps: int, offset: int, log: int,
                 rng: random.Random):
        self._ports, self._items, self._tables, self._rows = ports, items, tables, rows
        self._words, self._rng = words, rng
        self._steps, self._offset, self._log = steps, offset, log
        self._deepest = max(CONFIG.history_words, CONFIG.active_words)
        self._taken, self._free, self._cleared = 0, 0, 0  # items, the first cycle without work, and up to which
        self._due: dict[int, tuple[int, int]] = {}
        self._clear_from = None
        self.spikes = self.clears = 0

    def drive(self, cycle: int):
        # At first as well, since the words are random before; later only so often that spikes gather.
        clear = cycle >= self._free and not self._due and (cycle == 0 or self._rng.random() < 0.01)
        self._clear = clear
        self._ports.put("i_clear", clear)
        self._ports.put("i_steps", self._steps)
        self._ports.put("i_offset", self._offset)
        self._ports.put("i_history_log", self._log)

    def observe(self, cycle: int):
        get, idle, due = self._ports.get, cycle >= self._free, self._due.pop(cycle, None)
        valid = get("i__valid")
        assert get("i__ready") == (idle and not self._clear), f"i.ready in cycle {cycle}, free from {self._free} on"
        assert get("o_idle") == (idle and not valid and due is None and not self._due), f"o_idle in cycle {cycle}"
        clearing = cycle - self._clear_from if self._clear_from is not None and not idle else None
        assert get("o_clearing") == (clearing is not None), f"o_clearing in cycle {cycle}"
        self._write(cycle, "history", Space.HISTORY, clearing, due)
        self._write(cycle, "active", Space.ACTIVE, clearing, None)
        if idle:
            self._clear_from = None
            if self._clear:
                self._clear_from, self._free = cycle + 1, cycle + 1 + self._deepest
                self.clears += 1
            elif valid:
                self._take(cycle, self._items[self._taken])
                self._taken += 1

    def _write(self, cycle: int, port: str, space: Space, clearing: int | None, due):
        width, depth = shape_of(CONFIG, space).values()
        enable, found = self._ports.get(f"{port}__enable"), None
        if enable:
            found = self._ports.get(f"{port}__address"), self._ports.get(f"{port}__data")
        wanted = (clearing, 0) if clearing is not None and clearing < depth else None
        if due is not None:
            row, mark = due
            wanted = row, self._words[row] | mark
        assert found == wanted, f"{port} in cycle {cycle}: {found}, model {wanted}"
        if wanted:
            assert enable == (1 << -(-width // granule(width))) - 1, f"{port} writes part of a row in cycle {cycle}"
            if port == "history":
                self._words[wanted[0]] = wanted[1]

    def _take(self, cycle: int, entry):
        if not entry.active:
            return
        layer, step, at = self._tables[int(entry.layer)], int(entry.step), cycle + 3
        batch_step, counts = self._offset + step, []
        for group in range(layer["input_groups"]):
            row = self._rows[layer["spikes_in"] + step + group * self._steps]
            neurons = [group * CONFIG.lanes + lane for lane in range(CONFIG.lanes) if row >> lane & 1]
            for k, neuron in enumerate(neurons):
                word = layer["history"] + (neuron << self._log) + batch_step // MAP_BITS
                # The row is taken in cycle `at`, its spikes are found one by one from the next cycle on.
                self._due[at + 1 + k + HISTORY.lag] = word, 1 << batch_step % MAP_BITS
            at += max(len(neurons), 2)
            counts.append(len(neurons))
        self._free = at + 1
        self.spikes += sum(counts)
        further = sum(max(count - 2, 0) for count in counts)
        assert self._free - cycle == 2 * len(counts) + 4 + further

    @property
    def done(self) -> bool:
        return self._taken == len(self._items) and not self._due


async def turned(dut, rng: random.Random, *, log: int, gap: float, count: int = 60):
    ports = Ports(dut, "history", HISTORY)
    steps = rng.randrange(3, 9)
    offset = rng.randrange((MAP_BITS << log) - steps)
    rows = [rng.getrandbits(CONFIG.lanes) & rng.getrandbits(CONFIG.lanes) for _ in range(CONFIG.spike_rows)]
    words = [rng.getrandbits(MAP_BITS) for _ in range(CONFIG.history_words)]
    view, tables = HISTORY.layer.fields.shape(), []
    for layer in random_layers(rng, view, CONFIG.layers):
        groups = rng.randint(1, 3 if log < 2 else 2)
        span = groups * CONFIG.lanes << log
        tables.append(layer | {"input_groups": groups, "spikes_in": rng.randrange(CONFIG.spike_rows - groups * steps),
                               "history": rng.randrange(CONFIG.history_words - span + 1)})
    items = [item(rng.randrange(CONFIG.layers), active=int(rng.random() < 0.8), step=rng.randrange(steps))
             for _ in range(count)]
    model = Turned(ports, items, tables, rows, words=words, steps=steps, offset=offset, log=log, rng=rng)
    # The memory answers with the words before the model writes in the same cycle.
    agents = [Memory(ports, "spikes__", rows, width=CONFIG.lanes, rng=rng),
              Memory(ports, "read__", words, width=MAP_BITS, rng=rng, latency=ROW_LATENCY),
              Layers(ports, "layer", view, tables, rng=rng),
              Source(ports, "i", items, rng=rng, gap=gap),
              model]
    await run(dut, agents, until=lambda: model.done, limit=200 * count)
    return model


@cocotb.test()
@cocotb.parametrize(log=[0, 1, 2], gap=[0.0, 0.6])
async def spikes_are_turned(dut, log, gap):
    await reset(dut, BANK)
    model = await turned(dut, random.Random(PARAMETERS["seed"] + log), log=log, gap=gap)
    assert model.spikes > 50 and model.clears, f"{model.spikes} spikes, {model.clears} times cleared"


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    outputs = Ports(dut, "history", HISTORY).outputs
    assert await faulty(dut, BANK, outputs, lambda rng: turned(dut, rng, log=1, gap=0.3), seed=PARAMETERS["seed"])
