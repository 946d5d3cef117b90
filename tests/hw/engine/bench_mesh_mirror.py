"""Bench of MirrorSender: every new row of weights to the core and the place that the contract names, and none lost."""

import random
from collections import deque

import cocotb

from autapse.hw.contract.rows import Kind, route_word
from autapse.hw.engine.table import layer_view
from bench import bench_parameters
from engine_cycles import Memory, Ports, Source, edge, faulty, reset, run
from engine_items import Layers, item, load_layers, random_layer
from engine_parts import bank
from mesh_packets import Packets, packet

PARAMETERS = bench_parameters()
BANK = bank("mesh_mirror")
PARTS = BANK.components
MIRRORS = ["mirror_1", "mirror_4", "mirror_8"]
LAG, APART, AHEAD = 2, 3, 2     # cycles from a row to the outbox, between rows, from a layer's turn to its first row
# (inputs, bias, groups, mirrored): inputs that fill no groups, layers that have no mirror.
LAYERS = ((5, 1, 2, 1), (9, 0, 3, 1), (3, 1, 1, 0), (1, 0, 1, 1), (10, 1, 2, 1))


def table_of(rng: random.Random, config, view):
    """The layers, and the words of ROUTES that they use."""
    layers, routes, at = [], {}, rng.randrange(5)
    for inputs, bias, groups, mirrored in LAYERS[:config.layers]:
        layer = random_layer(rng, view, inputs=inputs, bias=bias, groups=groups, mirrored=mirrored, routes=at,
                             mirror_step=config.lanes * rng.randrange(1, 3))
        layers.append(layer)
        for _ in range(-(-inputs // config.lanes)):
            routes[at] = rng.randrange(0, config.synapses - 100, config.lanes), rng.randrange(config.nodes)
            at += 1
        at += rng.randrange(2)
    return layers, routes


def destination(config, layer, routes, *, source: int, group: int):
    """(core, address) of a new row of weights, by the contract; None for what no core mirrors."""
    if not layer["mirrored"] or source >= layer["inputs"]:
        return None
    base, core = routes[layer["routes"] + source // config.lanes]
    return core, base + group * layer["mirror_step"] + source % config.lanes


class Rows:
    """Rows of new weights as the update writes them; looks for each at the outbox, at its time."""

    def __init__(self, ports: Ports, unit, layers, routes, *, rng: random.Random, gap: float, updates: int):
        self._ports, self._unit, self._layers, self._rng, self._gap = ports, unit, layers, rng, gap
        self._todo = deque(
            (number, source, group) for _ in range(updates) for number, layer in enumerate(layers)
            for source in range(layer["inputs"] + layer["bias"]) for group in range(layer["groups"]))
        self._routes, self._due = routes, {}
        self._layer, self._next = -1, 0
        self.found = self.nowhere = 0

    @property
    def done(self) -> bool:
        return not self._todo and not self._due

    def drive(self, cycle: int):
        put, rng, config = self._ports.put, self._rng, self._unit.config
        words = rng.getrandbits(16 * config.lanes)
        if self._todo and self._todo[0][0] != self._layer and cycle >= self._next - APART + 1:
            self._layer = self._todo[0][0]
            self._next = max(self._next, cycle + AHEAD)
        row = bool(self._todo) and cycle >= self._next and rng.random() >= self._gap
        put("i_layer", self._layer if self._layer >= 0 else rng.getrandbits(8))
        put("i_row", row)
        put("i_words", words)
        if row:
            number, source, group = self._todo.popleft()
            self._due[cycle + LAG] = words, destination(config, self._layers[number], self._routes, source=source,
                                                        group=group)
            self._next = cycle + APART

    def observe(self, cycle: int):
        found = self._ports.get("o")
        words, way = self._due.pop(cycle, (0, None))
        assert found.valid == (way is not None), f"a row {'lost' if way else 'too many'} in cycle {cycle}"
        if way is None:
            self.nowhere += 1
            return
        core, address = way
        fields = {name: int(found.p[name]) for name in ("targets", "layer", "step", "address", "row")}
        wanted = {"targets": 1 << core, "layer": 0, "step": 0, "address": address, "row": words}
        assert fields == wanted, f"cycle {cycle}: {fields}, not {wanted}"
        self.found += 1


async def mirrored(dut, name: str, rng: random.Random, *, gap: float, updates: int = 3):
    unit = PARTS[name]
    ports, view = Ports(dut, name, unit), unit.layer.fields.shape()
    layers, routes = table_of(rng, unit.config, view)
    words = {at: route_word(base=base, core=core) for at, (base, core) in routes.items()}
    rows = Rows(ports, unit, layers, routes, rng=rng, gap=gap, updates=updates)
    count = sum((layer["inputs"] + layer["bias"]) * layer["groups"] for layer in layers)
    await run(dut, [Layers(ports, "layer", view, layers, rng=rng), Memory(ports, "routes__", words, width=32, rng=rng),
                    rows], until=lambda: rows.done, limit=100 + int(updates * count * 2 * APART / (1 - gap)))
    wanted = updates * sum(layer["inputs"] * layer["groups"] for layer in layers if layer["mirrored"])
    assert rows.found == wanted, f"{rows.found} rows sent, not {wanted}"
    return rows


@cocotb.test()
@cocotb.parametrize(name=MIRRORS, gap=[0.0, 0.6])
async def rows_find_their_mirror(dut, name, gap):
    await reset(dut, BANK)
    await mirrored(dut, name, random.Random(PARAMETERS["seed"]), gap=gap)


class Optimiser:
    """Memory and sums of the update; keeps what it writes, and knows where its weights go."""

    def __init__(self, ports: Ports, config, *, layers, routes, rng: random.Random):
        self._ports, self._config, self._layers, self._routes, self._rng = ports, config, layers, routes, rng
        self.layer, self.wanted, self.rows = 0, deque(), 0
        self._order = deque()

    def begin(self, number: int):
        layer = self._layers[number]
        self.layer = number
        self._order = deque((source, group) for source in range(layer["inputs"] + layer["bias"])
                            for group in range(layer["groups"]))

    def drive(self, cycle: int):
        put, rng = self._ports.put, self._rng
        for name in ("i_sums", "r_data", "i_rate", "i_momentum", "i_inverse_batch"):
            put(name, rng.getrandbits(15))
        put("i_sum_valid", 1)
        put("i_item", item(self.layer))

    def observe(self, cycle: int):
        get, layer = self._ports.get, self._layers[self.layer]
        # Without momentum each group writes its weights, then its remainders.
        if get("w_enable") and get("w_address") < layer["remainders"]:
            source, group = self._order.popleft()
            assert get("w_address") == layer["weights"] + group * layer["row_step"] + source, f"cycle {cycle}"
            way = destination(self._config, layer, self._routes, source=source, group=group)
            self.rows += 1
            if way:
                self.wanted.append(packet(self._config, Kind.WEIGHTS, {
                    "targets": 1 << way[0], "layer": 0, "step": 0, "address": way[1], "row": get("w_data")}))

    @property
    def idle(self) -> bool:
        return not self._order and self._ports.get("o_idle") == 1

    def packet(self, kind: int, words: list[int], first: int, last: int):
        assert kind == Kind.WEIGHTS and self.wanted, f"a packet of kind {kind} in cycle {last}"
        assert words == self.wanted.popleft(), f"a row of weights was lost or changed by cycle {last}"


async def updated(dut, rng: random.Random, *, stall: float):
    """Groups as fast as the optimiser takes them, towards a mesh that takes rows slower."""
    unit = PARTS["mirrored"]
    config, ports = unit.config, Ports(dut, "mirrored", unit)
    names = ("inputs", "bias", "groups", "mirrored", "routes", "mirror_step", "weights", "remainders", "momenta",
             "row_step")
    layers, routes = table_of(rng, config, layer_view(config, *names))
    for layer in layers:
        layer |= {"inputs": 11, "weights": rng.randrange(100), "remainders": 400, "momenta": 700,
                  "row_step": rng.randrange(12, 13)}
    layers[0]["routes"], layers[1]["routes"] = 1, 13
    routes = {at: (rng.randrange(config.synapses - 100), rng.randrange(config.nodes)) for at in range(30)}
    await load_layers(dut, ports, "layers", layers)
    optimiser = Optimiser(ports, config, layers=layers, routes=routes, rng=rng)
    words = {at: route_word(base=base, core=core) for at, (base, core) in routes.items()}
    memory = Memory(ports, "routes__", words, width=32, rng=rng)
    sink = Packets(ports, "o_rows", config, rng=rng, stall=stall, on_packet=optimiser.packet)
    for number in range(len(layers)):
        optimiser.begin(number)
        layer = layers[number]
        shape = unit.i.payload.shape()
        tokens = [shape.const({"sum": rng.getrandbits(1), "offset": group * layer["row_step"] + source})
                  for source in range(layer["inputs"] + layer["bias"]) for group in range(layer["groups"])]
        source = Source(ports, "i", tokens, rng=rng)
        await run(dut, [source, optimiser, memory, sink],
                  until=lambda: source.done and optimiser.idle,  # noqa: B023
                  limit=1000 + int(len(tokens) * 60 / (1 - stall)))
        await edge(dut)
    await run(dut, [optimiser, memory, sink], until=lambda: not optimiser.wanted, limit=int(200 / (1 - stall)) * 10)
    return optimiser


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.85, 0.98])
async def a_slow_mesh_loses_no_weights(dut, stall):
    await reset(dut, BANK)
    optimiser = await updated(dut, random.Random(PARAMETERS["seed"]), stall=stall)
    assert optimiser.rows > 50, f"{optimiser.rows} rows"


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    outputs = Ports(dut, "mirror_4", PARTS["mirror_4"]).outputs
    assert await faulty(dut, BANK, outputs, lambda rng: mirrored(dut, "mirror_4", rng, gap=0.3, updates=1),
                        seed=PARAMETERS["seed"])
