"""Bench of the memories: random traffic on all ports at once against arrays, latency and read-before-write included."""

import random

import cocotb
import numpy as np

from autapse.hw.engine.memory import bank_of
from autapse.sw_driver.compile import pack_layer
from bench import bench_parameters
from engine_cycles import Ports, edge, faulty, reset, run
from engine_parts import bank

PARAMETERS = bench_parameters()
BANK = bank("memories")
PARTS = BANK.components
CYCLES = PARAMETERS["cycles"]


class Traffic:
    """Each cycle, requests of `choose` on the ports, and the model's answers `latency` cycles later."""

    def __init__(self, ports: Ports, choose):
        self._ports, self._choose = ports, choose
        self._due: dict[int, list] = {}
        self.checked = 0

    def drive(self, cycle: int):
        requests, answers = self._choose()
        for port, value in requests.items():
            self._ports.put(port, value)
        for latency, port, value in answers:
            self._due.setdefault(cycle + latency, []).append((port, value, requests))

    def observe(self, cycle: int):
        for port, value, cause in self._due.pop(cycle, ()):
            found = self._ports.get(port)
            assert found == value, f"{self._ports.name}.{port} is {found:#x}, model {value:#x}, after {cause}"
            self.checked += 1


class SynapseModel:
    """Synapse (i, j) of two layers as one array (layer's group, input, lane), where a bank is nowhere to be seen."""

    def __init__(self, memory, rng):
        self._m, self._lanes, self._rng = memory, memory.lanes, rng
        self.rows = memory.depth // memory.lanes * memory.lanes
        self.words = np.zeros((self.rows, memory.lanes), np.uint16)  # row, output mod lanes

    def choose(self):
        rng, lanes, written = self._rng, self._lanes, None
        kind, row = rng.choice(("write", "read", "engine", "engine")), rng.randrange(self.rows)
        request, answer = {"w_enable": 0, "host__write": 0, "host__read": 0}, []
        if kind == "engine":
            request |= {"w_enable": rng.randrange(2), "w_address": rng.choice((row, rng.randrange(self.rows))),
                        "w_data": rng.getrandbits(16 * lanes), "r_address": row}
            if request["w_enable"]:
                written = request["w_address"]
            else:
                answer.append((self._m.latency, "r_data", _joined(self.words[row])))
        else:
            bank_ = rng.randrange(lanes)
            request |= {f"host__{kind}": 1, "host__address": row * lanes + bank_, "host__data": rng.getrandbits(16)}
            lane = (bank_ - row) % lanes
            if kind == "read":
                answer.append((self._m.host_latency, "host__result", int(self.words[row, lane])))
            else:
                written = row
        if self._m.columns:
            self._column(request, answer, written=written)
        if kind == "write":
            self.words[row, lane] = request["host__data"]
        elif request["w_enable"]:
            # A written row comes bank by bank.
            self.words[written] = [request["w_data"] >> 16 * bank_of(lane, written, lanes=lanes) & 0xFFFF
                                   for lane in range(lanes)]
        return request, answer

    def _column(self, request: dict, answer: list, *, written: int | None):
        """The other port reads a column or a row at the same time; not what is being written."""
        row, lanes = self._rng.randrange(self.rows), self._lanes
        rows = self._rng.randrange(2)
        first = row // lanes * lanes
        request |= {"c_address": row, "c_rows": rows}
        read = self.words[row] if rows else self.words[first:first + lanes, row % lanes]
        touched = range(row, row + 1) if rows else range(first, first + lanes)
        if written not in touched:
            answer.append((self._m.latency, "c_data", _joined(read)))


def _joined(words) -> int:
    return sum(int(word) << 16 * k for k, word in enumerate(words))


class RowModel:
    """Rows of any width under one writer, some readers, and the host's 16-bit words."""

    def __init__(self, memory, rng):
        self._m, self._rng = memory, rng
        self._grain = 16 if memory.width > 16 else memory.width
        self.rows = [0] * memory.depth

    def choose(self):
        rng, memory = self._rng, self._m
        granules = -(-memory.width // self._grain)
        kind = rng.choice(("write", "read", "engine", "engine"))
        at = [rng.randrange(memory.depth) for _ in range(memory.readers)]
        request = {"host__write": kind == "write", "host__read": kind == "read", "w__enable": 0,
                   **{f"r{n}__address": row for n, row in enumerate(at)}}
        if kind == "engine":
            request |= {"w__enable": rng.getrandbits(granules), "w__data": rng.getrandbits(memory.width),
                        "w__address": rng.choice((at[0], rng.randrange(memory.depth)))}
        else:
            row, word = rng.randrange(memory.depth), rng.randrange(memory.row_words)
            request |= {"host__address": row * memory.row_words + word, "host__data": rng.getrandbits(16)}
        answers = [(memory.latency, f"r{n}__data", self.rows[row]) for n, row in enumerate(at) if n or kind != "read"]
        if kind == "read":
            answers.append((memory.host_latency, "host__result", self.rows[row] >> 16 * word & 0xFFFF))
        if kind == "engine":
            mask = sum(((1 << self._grain) - 1) << self._grain * k
                       for k in range(granules) if request["w__enable"] >> k & 1)
            row = request["w__address"]
            self.rows[row] = self.rows[row] & ~mask | request["w__data"] & mask
        elif kind == "write" and word < granules:
            mask = ((1 << self._grain) - 1) << 16 * word
            self.rows[row] = self.rows[row] & ~mask | request["host__data"] << 16 * word & mask
        return request, answers


class ListModel:
    """Two buffers of events."""

    def __init__(self, memory, rng):
        self._m, self._rng = memory, rng
        self._events = {(buffer, index): 0 for buffer in range(2) for index in range(memory.depth)}

    def choose(self):
        rng, places = self._rng, list(self._events)
        place, read = rng.choice(places), rng.choice(places)
        request = {"w_enable": rng.randrange(2), "w_buffer": place[0], "w_index": place[1],
                   "w_event": rng.getrandbits(self._m.width), "r_buffer": read[0], "r_index": read[1]}
        answers = [(self._m.latency, "r_event", self._events[read])]
        if request["w_enable"]:
            self._events[place] = request["w_event"]
        return request, answers


MODELS = {"synapses": SynapseModel, "rows": RowModel, "list": ListModel}


async def _cleared(dut, ports, component, kind):
    """Writes zeros everywhere by the engine's writer, since reset leaves memories alone."""
    places = range(component.depth) if kind != "list" else [
        (buffer, index) for buffer in range(2) for index in range(component.depth)]

    def request(place):
        if kind == "list":
            return {"w_enable": 1, "w_buffer": place[0], "w_index": place[1], "w_event": 0}
        if kind == "rows":
            return {"w__enable": -1, "w__address": place, "w__data": 0, "host__write": 0, "host__read": 0}
        return {"w_enable": 1, "w_address": place, "w_data": 0, "host__write": 0, "host__read": 0}

    pending = [*(request(place) for place in places), {"w_enable": 0} if kind != "rows" else {"w__enable": 0}]
    agent = Traffic(ports, lambda: (pending.pop(0), []))
    await run(dut, [agent], until=lambda: not pending, limit=1000)
    await edge(dut)


async def traffic(dut, name: str, rng: random.Random):
    component = PARTS[name]
    ports, kind = Ports(dut, name, component), name.split("_")[0]
    await _cleared(dut, ports, component, kind)
    agent = Traffic(ports, MODELS[kind](component, rng).choose)
    clocked = [0]

    def until():
        clocked[0] += 1
        return clocked[0] == CYCLES

    await run(dut, [agent], until=until, limit=CYCLES + 1)
    assert agent.checked > CYCLES // 3
    return ports


@cocotb.test()
@cocotb.parametrize(name=[name for name in PARTS if name.split("_")[0] in MODELS])
async def random_traffic(dut, name):
    await reset(dut, BANK)
    await traffic(dut, name, random.Random(PARAMETERS["seed"]))


@cocotb.test()
@cocotb.parametrize(lanes=[2, 8])
async def packed_layers_come_by_rows_and_columns(dut, lanes):
    """What the driver packs and the host writes, the engines read as synapses, rows and columns alike."""
    component = PARTS[f"synapses_{lanes}"]
    ports = Ports(dut, f"synapses_{lanes}", component)
    rng = np.random.default_rng(PARAMETERS["seed"])
    inputs, outputs = (9, 3) if lanes == 2 else (6, 11)
    groups, row_step = -(-outputs // lanes), -(-(inputs + 1) // lanes) * lanes
    weight = rng.integers(1, 0x7BFF, (inputs, outputs)).astype(np.uint16)
    bias = rng.integers(1, 0x7BFF, outputs).astype(np.uint16)
    words = pack_layer(weight.view(np.float16), bias.view(np.float16), row_step=row_step, groups=groups, lanes=lanes)
    table = np.zeros((row_step, groups * lanes), np.uint16)
    table[:inputs, :outputs], table[inputs, :outputs] = weight, bias
    requests = [({"host__write": 1, "host__address": at, "host__data": int(word)}, []) for at, word in enumerate(words)]
    latency = component.latency
    for group in range(groups):
        for i in range(row_step):
            at, row = group * row_step + i, _joined(table[i, group * lanes:(group + 1) * lanes])
            requests.append(({"host__write": 0, "c_rows": 1, "r_address": at, "c_address": at},
                             [(latency, "r_data", row), (latency, "c_data", row)]))
        for j in range(lanes):
            for i in range(0, row_step, lanes):
                requests.append(({"host__write": 0, "c_rows": 0, "c_address": group * row_step + i + j},
                                 [(latency, "c_data", _joined(table[i:i + lanes, group * lanes + j]))]))
    requests += [({}, [])] * (latency + 1)
    await reset(dut, BANK)
    agent = Traffic(ports, lambda: requests.pop(0))
    await run(dut, [agent], until=lambda: not requests, limit=1000)
    assert agent.checked == groups * (2 * row_step + lanes * (row_step // lanes))


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    for name in PARTS:
        if name.split("_")[0] in MODELS:
            outputs = Ports(dut, name, PARTS[name]).outputs

            async def scenario(rng, name=name):
                await traffic(dut, name, rng)

            assert await faulty(dut, BANK, outputs, scenario, seed=PARAMETERS["seed"])
