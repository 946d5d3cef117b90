"""What a chip of many equal cores takes to build and to run; prints a table. The figures of docs/bench.md.

    .venv/bin/python tests/gateware/measure_places.py --cores 20 [--whole]

All cores hang on one bus and do the same, so the driver of a chip of one core drives them all. With --whole, each is
elaborated and compiled on its own.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time

import numpy as np
from amaranth.hdl import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from autapse.gateware.command import CommandProcessor
from autapse.gateware.link.link import Link
from autapse.gateware.once import Repeated
from autapse.gateware.simulator import build_simulator
from autapse.hw.contract.chip import ChipConfig
from autapse.hw.engine.core import Core
from autapse.sw_driver.device import open as open_device
from autapse.sw_driver.devices.sim import SimDevice
from autapse.sw_driver.link.bus import Bus
from autapse.sw_driver.link.host import HostLink
from autapse.sw_driver.link.transport import ProcessTransport
from autapse.sw_driver.network import LI, LIF, Linear, Network, TrainingSpec

# The memories of a core that holds a twentieth of 784-512-256-10.
CONFIG = ChipConfig(lanes=4, units=1, events=1024, synapses=16384, spike_rows=2048, mask_rows=256, error_rows=2048,
                    history_words=4096)
SEED, STEPS, BATCH = 5, 4, 4
LIFS = {"decay": 0.75, "threshold": 0.5}
NETWORK = Network([Linear(640, 28), LIF(**LIFS), Linear(28, 16), LIF(**LIFS), Linear(16, 4), LI(decay=0.5)],
                  steps=STEPS)
TRAINING = TrainingSpec(learning_rate=0.1, momentum=0.9, batch=BATCH, loss_scale=64.0)


class ManyCores(wiring.Component):
    """Equal cores behind one link. All hear the same; the first one answers, and all must be ready and of one mind."""

    i_line: In(stream.Signature(8))
    o_line: Out(stream.Signature(8))
    o_busy: Out(1)

    def __init__(self, *, cores: int, once: bool):
        self.cores, self.once = cores, once
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.link = link = Link()
        m.submodules.command = command = CommandProcessor()
        repeated = Repeated(lambda: Core(CONFIG), name="core") if self.once else None
        cores = [repeated.place() if repeated else Core(CONFIG) for _ in range(self.cores)]
        m.submodules += cores
        connect(m, flipped(self.i_line), link.i_line)
        connect(m, link.o_line, flipped(self.o_line))
        connect(m, link.o_packet, command.i_packet)
        connect(m, command.o_packet, link.i_packet)
        bus, reply = command.o_bus, command.i_bus
        equal = Cat(core.read_data == cores[0].read_data for core in cores).all()
        for core in cores:
            m.d.comb += [
                core.space.eq(bus.space), core.address.eq(bus.address), core.write_data.eq(bus.write_data),
                core.write.eq(bus.write), core.read.eq(bus.read),
                core.runs.payload.eq(command.o_run.payload), core.runs.valid.eq(command.o_run.valid),
            ]
        m.d.comb += [
            command.i_session.eq(link.o_session), command.o_run.ready.eq(cores[0].runs.ready),
            reply.ready.eq(Cat(core.ready for core in cores).all()), reply.read_data.eq(cores[0].read_data),
            reply.read_valid.eq(Cat(core.read_valid for core in cores).all()),
            reply.error.eq(Cat(core.error for core in cores).any() | (cores[0].read_valid & ~equal)),
            command.i_busy.eq(Cat(core.o_busy for core in cores).any()),
            self.o_busy.eq(command.i_busy | command.o_busy | link.o_busy),
        ]
        return m


class ManyDevice(SimDevice):
    """The driver's simulated chip, with another program behind it."""

    def __init__(self, program):
        super().__init__(stats=True)
        self.program = program

    def _choose(self, network, training):
        return CONFIG

    def _start(self, config):
        return Bus(HostLink(ProcessTransport([self.program, "--stats"])))


def train(device) -> list[np.ndarray]:
    """Four batches; all that comes back."""
    rng = np.random.default_rng(SEED)
    device.load(NETWORK, TRAINING)
    device.write_state(NETWORK.initial_state(seed=SEED, scale=3.0))
    found = []
    for _ in range(4):
        spikes = (rng.random((BATCH, STEPS, NETWORK.inputs)) < 0.15).astype(np.uint8)
        targets = np.eye(NETWORK.classes, dtype=np.float16)[rng.integers(NETWORK.classes, size=BATCH)]
        found.append(device.accumulate(spikes, targets=targets, capture=False).readouts)
        device.update(samples=BATCH, learning_rate=0.1, momentum=0.9)
    return found + [array.view(np.uint16) for layer in device.read_state() for array in layer.arrays().values()]


def bare(program, cycles: int) -> dict:
    """The program with nobody at its line."""
    done = subprocess.run([program, "--bare", str(cycles), "--stats"], stdin=subprocess.DEVNULL, check=True,
                          capture_output=True, text=True)
    return json.loads(done.stderr)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cores", type=int, default=20)
    parser.add_argument("--whole", action="store_true", help="each core on its own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        since, work = time.perf_counter(), sum(os.times()[:4])
        chip = ManyCores(cores=options.cores, once=not options.whole)
        program = build_simulator(chip, cache_dir=folder, progress=lambda text, part: print(f"{part:5.0%} {text}"))
        print(f"building: {time.perf_counter() - since:.0f} s, {sum(os.times()[:4]) - work:.0f} s of processor, "
              f"{program.stat().st_size / 1e6:.1f} MB")
        idle = bare(program, 200_000)
        print(f"nothing to do: {idle['cycles'] / idle['processor']:,.0f} cycles/s of processor")
        with ManyDevice(program) as device:
            found = train(device)
        with open_device("golden") as golden:
            wanted = train(golden)
        wrong = sum(np.count_nonzero(one != other) for one, other in zip(found, wanted, strict=True))
        ran = device.simulated
        print(f"all cores training (seed {SEED}): {ran['cycles'] / ran['processor']:,.0f} cycles/s of processor, "
              f"{ran['slept'] / ran['cycles'] / options.cores:.0%} of the cores' cycles slept, "
              f"{wrong} words different from the golden model")


if __name__ == "__main__":
    main()
