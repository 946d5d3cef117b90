"""A mesh of cores behind a bus, in plain Python: rows go where the program says, and every item waits for its rows."""

import numpy as np

from autapse.hw.contract.chip import ARITHMETIC_VERSION, CONTRACT_VERSION, ChipConfig
from autapse.hw.contract.packet import ALL_CORES
from autapse.hw.contract.program import COUNTERS, MAGIC, TIMELINE_ROWS, Run, Space
from autapse.hw.contract.rows import ADDRESS_BITS, Kind
from autapse.sw_driver.compile import fit_mesh
from autapse.sw_driver.devices.chip import ChipDevice, read_identity
from mesh_core import Core


class Handle:
    def __init__(self, words):
        self._words = words.copy()

    def result(self):
        return self._words


class MeshBus:
    """What `Bus` is to a chip, done at once.

    Members
    -------
    cores : the cores, whose memories tests may look at and break
    rows : rows sent, by kind
    selections : changes of what is selected
    """

    def __init__(self, config: ChipConfig, *, seed: int = 1):
        self.config, self.link = config, self
        rng = np.random.default_rng(seed)
        self.cores = [Core(config, rng) for _ in range(config.nodes)]
        self.selected, self.selections = ALL_CORES, 0
        self.rows = dict.fromkeys(Kind, 0)
        words = np.array([MAGIC, CONTRACT_VERSION, ARITHMETIC_VERSION, *config.words()], np.uint32)
        for core in self.cores:
            core.memories[Space.IDENTITY] = words.view(np.uint16)
            core.memories[Space.TIMELINE] = np.zeros(2 * TIMELINE_ROWS, np.uint16)

    def close(self):
        self.cores = []

    def select(self, cores):
        assert 0 < cores <= ALL_CORES
        self.selections += cores != self.selected
        self.selected = cores

    def sync(self):
        pass

    def _chosen(self):
        return [core for number, core in enumerate(self.cores) if self.selected >> number & 1]

    def write(self, space, address, words):
        assert words.dtype == np.uint16
        for core in self._chosen():
            memory = core.memories[space]
            assert 0 <= address and address + words.size <= len(memory), f"{Space(space).name} has no {address}"
            if space == Space.COUNTERS:
                memory[:] = 0
            else:
                memory[address:address + words.size] = words.reshape(-1)

    def write_rows(self, space, address, rows, *, bits):
        assert not (rows >> bits).any()
        self.write(space, address, rows)

    def fill(self, space, address, *, count, value):
        self.write(space, address, np.full(count, value, np.uint16))

    def queue_read(self, space, address, count):
        memory = self._chosen()[0].memories[space]
        assert 0 <= address and address + count <= len(memory), f"{Space(space).name} has no {address}"
        return Handle(memory[address:address + count])

    def read(self, space, address, count):
        return self.queue_read(space, address, count).result()

    # Runs

    def run(self, mask, sample):
        for core in self.cores:
            core.slot = int(bool(mask & Run.SLOT))
            if mask & Run.CLEAR and Space.HISTORY in core.memories:
                core.memories[Space.HISTORY][:] = core.memories[Space.ACTIVE][:] = 0
        for part, work in ((Run.FORWARD, self._forward), (Run.LOSS, self._loss),
                           (Run.BACKWARD, lambda: self._backward(sample)), (Run.UPDATE, self._update)):
            if mask & part:
                work()
        for number, core in enumerate(self.cores):
            for name, gained in (("forward.busy", core.visits), ("cycles", 100 * (number + 1))):
                at = 2 * COUNTERS.index(name)
                total = int(core.memories[Space.COUNTERS][at]) + gained
                core.memories[Space.COUNTERS][at] = total & 0xFFFF
                core.memories[Space.COUNTERS][at + 1] += total >> 16
            core.visits = 0

    def _items(self, *, backward=False):
        registers = self.cores[0].registers
        assert all(core.registers[name] == registers[name] for core in self.cores
                   for name in ("layers", "steps", "batch_steps", "history_log")), "cores that disagree"
        layers, steps = range(registers["layers"]), range(registers["steps"])
        for step in reversed(steps) if backward else steps:
            for layer in reversed(layers) if backward else layers:
                for core in self.cores:
                    if core.has(layer):
                        yield core, layer, step

    def _send(self, kind, targets, *, layer, step, space, address, row):
        assert targets < 1 << len(self.cores)
        self.rows[kind] += 1
        for number, core in enumerate(self.cores):
            if targets >> number & 1:
                assert core.has(layer), f"core {number} has no cut of layer {layer} and gets {kind.name}"
                core.write(space, address, row)
                core.arrived[kind, layer, step] = core.arrived.get((kind, layer, step), 0) + 1

    def _came(self, core, kind, layer, step, expected):
        came = core.arrived.pop((kind, layer, step), 0)
        assert came == expected, f"layer {layer}, step {step} waits for {expected} rows of {kind.name}, {came} came"

    def _nothing_left(self):
        assert not any(core.arrived for core in self.cores), "rows that nobody waited for"

    def _forward(self):
        for core, layer, step in self._items():
            fields = core.layer(layer)
            if layer:
                self._came(core, Kind.SPIKES, layer, step, fields["input_groups"])
            steps = core.registers["steps"]
            for group, row in enumerate(core.forward(layer, step)):
                self._send(Kind.SPIKES, fields["spike_targets"], layer=layer + 1, step=step, space=Space.SPIKES,
                           address=fields["spike_address"] + group * steps + step, row=[row])
        self._nothing_left()

    def _loss(self):
        for core in self.cores:
            core.loss()

    def _backward(self, sample):
        for core, layer, step in self._items(backward=True):
            fields, registers = core.layer(layer), core.registers
            if layer != registers["layers"] - 1:
                self._came(core, Kind.ERRORS, layer, step, fields["next_groups"])
            for group, row in enumerate(core.backward(layer, step, first=sample)):
                self._send(Kind.ERRORS, fields["error_targets"], layer=layer - 1, step=step, space=Space.REMOTE,
                           address=fields["error_address"] + group * registers["steps"] + step, row=row)
        self._nothing_left()

    def _update(self):
        for core in self.cores:
            for layer in range(core.registers["layers"]):
                if core.has(layer):
                    for source, group, row in core.update(layer):
                        self._mirror(core, core.layer(layer), source, group, row)
        for number, core in enumerate(self.cores):
            expected = core.registers["mirror_rows"]
            assert core.mirrored == expected, f"core {number} got {core.mirrored} rows of weights, not {expected}"
            core.mirrored = 0

    def _mirror(self, core, fields, source, group, row):
        low, high = core.read(Space.ROUTES, fields["routes"] + source // core.lanes)
        word = low | high << 16
        target = self.cores[word >> ADDRESS_BITS]
        target.write(Space.SYNAPSES, (word & (1 << ADDRESS_BITS) - 1) + group * fields["mirror_step"]
                     + source % core.lanes, row)
        target.mirrored += 1
        self.rows[Kind.WEIGHTS] += 1


class ModelDevice(ChipDevice):
    """The driver's own way of using a mesh, on the model of one that just fits."""

    name = "model"

    def __init__(self, plan, *, lanes, units=1, **depths):
        super().__init__()
        self._given, self._fields = plan, {"lanes": lanes, "units": units} | depths

    def plan(self, network, training, config):
        return self._given

    def connect(self, network, training):
        config = fit_mesh(network, training, self._given, **self._fields)
        self.compile(network, training, config)
        bus = MeshBus(config)
        assert read_identity(bus) == config
        return bus, config
