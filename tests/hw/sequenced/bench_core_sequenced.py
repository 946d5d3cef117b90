"""Bench of a whole sequenced core over its bus: the driver's program and a training run, against the golden model."""

import random
import sys
from pathlib import Path

import cocotb
import numpy as np
from cocotb.task import bridge

sys.path.append(str(Path(__file__).parents[1] / "engine"))

from autapse.hw.contract.geometry import geometry
from autapse.hw.contract.program import COUNTERS, REGISTERS, Run, Space, length, offsets
from autapse.hw.engine.bus import BusServer
from autapse.sw_driver.devices.golden import GoldenDevice
from bench import bench_parameters
from bench_core import CoreBus, Refused
from core_training import BusDevice
from device_comparison import Difference, train_both
from sequenced_network import CONFIG, NETWORK, TRAINING

BusServer.latency = 2  # what CoreBus expects: this core answers a cycle earlier than the pipelined one
PARAMETERS = bench_parameters()
BITS = (Space.SPIKES, Space.MASKS)
SMALL = {Space.REGISTERS: length(REGISTERS), Space.COUNTERS: 2 * len(COUNTERS)}


def words_of_spaces() -> dict[Space, int]:
    """16-bit words of every space that lies in the large memory."""
    return {space: depth << (-(-width // 16) - 1).bit_length() for space, (width, depth) in geometry(CONFIG).items()}


async def started(dut) -> CoreBus:
    bus = CoreBus(dut, random.Random(PARAMETERS["seed"]))
    await bus.start()
    return bus


async def refuses(request):
    """Whether the core says that there is no such place."""
    try:
        await request
    except Refused:
        return
    raise AssertionError("a place that does not exist answered")


def train(bus, *, batches: int) -> dict:
    """Trains the chip behind `bus` and the golden model; raises Difference at the first word that differs."""
    rng = np.random.default_rng(PARAMETERS["seed"])
    data = []
    for size in (2, 1)[:batches]:
        spikes = (rng.random((size, NETWORK.steps, NETWORK.inputs)) < 0.5).astype(np.uint8)
        data.append((spikes, np.eye(NETWORK.classes, dtype=np.float16)[rng.integers(NETWORK.classes, size=size)]))
    chip, golden = BusDevice(bus, CONFIG), GoldenDevice(threads=1)
    first = NETWORK.initial_state(seed=len(data), scale=3.0)
    last = train_both(golden, chip, network=NETWORK, training=TRAINING, batches=data)
    for one, other in zip(first, last, strict=True):
        assert (one.weight != other.weight).any(), "a layer did not learn, so it was not tested"
    wrong = golden.read_state()
    wrong[0].remainder.view(np.uint16)[4, 3] ^= 1
    chip.write_state(wrong)
    found = chip.read_state()[0].remainder.view(np.uint16) ^ golden.read_state()[0].remainder.view(np.uint16)
    assert found.sum() == 1 and found[4, 3] == 1, Difference("a wrong bit was not read back")
    return chip.counters()


@cocotb.test()
async def words_are_kept_apart(dut):
    """Every word of every space holds its own, of spikes and masks one bit. Also fills what the training finds."""
    bus = await started(dut)
    rng = np.random.default_rng(PARAMETERS["seed"])
    written = {space: rng.integers(0, 1 << 16, size=count).astype(np.uint16)
               for space, count in {**words_of_spaces(), Space.REGISTERS: SMALL[Space.REGISTERS]}.items()}
    for space, words in written.items():
        await bus._write(space, 0, words)
    for space, words in written.items():
        expected = words & 1 if space in BITS else words
        found = await bus._read(space, 0, len(words))
        assert np.array_equal(found, expected), f"{space.name}: {np.argwhere(found != expected)[:3]}"
    await bus._write(Space.REGISTERS, 0, [0] * SMALL[Space.REGISTERS])


@cocotb.test()
async def training_is_the_golden_models(dut):
    """The reset leaves memories as they are, here full of random words: no run may depend on them."""
    bus = await started(dut)
    counters = await bridge(train)(bus, batches=PARAMETERS["batches"])
    for engine in ("forward", "backward", "gradient"):
        assert counters[engine]["busy"] and counters[engine]["stalled"], counters
    samples = sum((2, 1)[:PARAMETERS["batches"]])
    assert counters["forward"]["dense"] == samples * NETWORK.steps * (6 * 4 + 5 * 3)
    dut._log.info(f"{bus.cycles} cycles, {counters}")


@cocotb.test()
async def counters_count_from_when_they_are_cleared(dut):
    """A run without parts takes as long as the counter of cycles says it took, and clears what the host asks to."""
    bus = await started(dut)
    totals = []
    for clear in (True, False, True):
        if clear:
            await bus._write(Space.COUNTERS, 3, [9])
            assert not (await bus._read(Space.COUNTERS, 0, SMALL[Space.COUNTERS])).any()
        before = bus.cycles
        await bus._run(0, 0)
        await bus._sync()
        words = (await bus._read(Space.COUNTERS, 0, SMALL[Space.COUNTERS])).astype(int)
        assert not words[:-2].any(), "a run without parts counts cycles alone"
        totals.append((int(words[-2]), bus.cycles - before))
    assert 0 < totals[0][0] == totals[2][0] < totals[1][0], totals
    assert all(total <= cycles for total, cycles in (totals[0], totals[2])), totals


@cocotb.test()
async def what_saturates_is_flagged_until_the_host_clears_it(dut):
    bus = await started(dut)
    flag = offsets(REGISTERS)["overflow"]
    # The loss of one class: 1.0 times 2^17 is beyond binary16.
    for target, gain, expected in ((0x3C00, 0x3C00, 0), (0xFBFF, 0x4400, 1), (0x3C00, 0x3C00, 1)):
        for name, word in (("classes", 1), ("inverse_steps", 0x3C00), ("error_gain", gain)):
            await bus._write(Space.REGISTERS, offsets(REGISTERS)[name], [word])
        await bus._write(Space.READOUTS, 0, [0, 0, 0, 0])
        await bus._write(Space.TARGETS, 0, [target])
        await bus._run(Run.LOSS, 0)
        await bus._sync()
        assert (await bus._read(Space.REGISTERS, flag, 1))[0] == expected
        error = (await bus._read(Space.ERROR_INPUTS, 0, 1))[0]
        assert error == (0x7BFF if gain == 0x4400 else 0xBC00), f"{error:#06x}"
    await bus._write(Space.REGISTERS, flag, [0])
    await bus._run(0, 0)
    await bus._sync()
    assert (await bus._read(Space.REGISTERS, flag, 1))[0] == 0


@cocotb.test()
async def errors_may_be_given_per_step(dut):
    """The same error at every step is the error that holds for all; another at one step is not."""
    bus = await started(dut)
    rng = np.random.default_rng(PARAMETERS["seed"])
    batch = rng.random((1, NETWORK.steps, NETWORK.inputs)) < 0.5
    chip = BusDevice(bus, CONFIG)
    held = (rng.random(NETWORK.classes) - 0.5).astype(np.float16)

    def prepare():
        chip.load(NETWORK, TRAINING)
        chip.write_state(NETWORK.initial_state(seed=1, scale=3.0))
        chip.accumulate(batch.astype(np.uint8), error=lambda readout, index: held)

    async def errors(words) -> np.ndarray:
        await bus._write(Space.ERROR_INPUTS, 0, words.view(np.uint16).reshape(-1))
        await bus._run(Run.CLEAR | Run.BACKWARD, 0)
        return await bus._read(Space.ERRORS, 0, words_of_spaces()[Space.ERRORS])

    async def histories() -> np.ndarray:
        return np.concatenate([await bus._read(space, 0, words_of_spaces()[space])
                               for space in (Space.HISTORY, Space.ACTIVE)])

    await bridge(prepare)()
    expected = await errors(held)
    assert expected.any()
    # A run that is taken again marks nothing new.
    before = await histories()
    await bus._run(Run.BACKWARD, 0)
    assert np.array_equal(await histories(), before) and before.any()
    await bus._write(Space.REGISTERS, offsets(REGISTERS)["errors_per_step"], [1])
    per_step = np.repeat(held[:, None], NETWORK.steps, axis=1)
    assert np.array_equal(await errors(per_step), expected)
    per_step[1, 1] += 1
    assert not np.array_equal(await errors(per_step), expected)


@cocotb.test()
async def addresses_that_do_not_exist_are_refused(dut):
    bus = await started(dut)
    for space, end in {**words_of_spaces(), **SMALL}.items():
        if space != Space.COUNTERS:
            await bus._write(space, end - 1, [0])
        await bus._read(space, end - 1, 1)
        await refuses(bus._write(space, end, [0]))
        await refuses(bus._read(space, end, 1))
    for request in (bus._write(200, 0, [0]), bus._read(200, 0, 1), bus._read(Space.IDENTITY, 64, 1),
                    bus._write(Space.SPIKES, 1 << 16, [0]), bus._read(Space.SPIKES + 16, 0, 1)):
        await refuses(request)
    # The identity is there to be read; writing it does nothing.
    identity = await bus._read(Space.IDENTITY, 0, 6)
    await bus._write(Space.IDENTITY, 0, [0])
    assert np.array_equal(await bus._read(Space.IDENTITY, 0, 6), identity)
