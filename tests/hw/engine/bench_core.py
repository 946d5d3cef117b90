"""Bench of a whole core over its bus: the driver's program and a training run, against the golden model."""

import random

import cocotb
import numpy as np
from cocotb.task import bridge, resume
from cocotb.triggers import Timer

from autapse.hw.contract.geometry import geometry
from autapse.hw.contract.program import Space
from autapse.hw.engine.bus import BusServer
from autapse.hw.engine.registers import identity_words
from bench import bench_parameters
from core_training import CONFIGS, train_small

PARAMETERS = bench_parameters()
CONFIG = CONFIGS[PARAMETERS["gradient"]]


class Refused(Exception):
    """The core said that there is no such space or address."""


class CoreBus:
    """The core's bus as the driver's Bus, with random gaps between requests; each call blocks the bridge's thread.

    A run is posted: what the driver asks next meets the core at work, and waits for `ready` as long as that takes.
    `meanwhile` counts the words written and read while a run was under way.
    """

    link = None

    def __init__(self, dut, rng: random.Random, *, limit: int = 20000):
        self._dut, self._rng, self._limit = dut, rng, limit
        self.cycles, self.word = 0, None  # word: what was read, if the last cycle answered a read
        self.meanwhile = {"written": 0, "read": 0, "runs": 0}

    async def _cycle(self, *names: str) -> list[int]:
        """Lets the cycle settle, samples, and ends it."""
        dut = self._dut
        dut.clk.value = 0
        await Timer(1, "ns")
        found = [int(getattr(dut, name).value) for name in names]
        word = dut.read_data.value if dut.read_valid.value and not dut.error.value else None
        dut.clk.value = 1
        await Timer(1, "ns")
        self.cycles += 1
        self.word = word
        return found

    async def start(self):
        dut = self._dut
        for name in ("space", "address", "write_data", "write", "read", "runs__payload", "runs__valid"):
            getattr(dut, name).value = 0
        dut.rst.value = 1
        await self._cycle()
        await self._cycle()
        dut.rst.value = 0

    async def _gap(self):
        while self._rng.random() < 0.1:
            await self._cycle()

    async def _taken(self, ready: str, *names: str) -> list[int]:
        """Lets cycles pass until the one with `ready`; what else was seen in it."""
        for _ in range(self._limit):
            taken, *found = await self._cycle(ready, *names)
            if taken:
                return found
        raise AssertionError(f"watchdog: no {ready} in {self._limit} cycles")

    async def _write(self, space: int, address: int, words):
        dut = self._dut
        for offset, word in enumerate(words):
            await self._gap()
            dut.space.value = int(space)
            dut.address.value, dut.write_data.value, dut.write.value = address + offset, int(word), 1
            error, busy = await self._taken("ready", "error", "o_busy")
            dut.write.value = 0
            self.meanwhile["written"] += busy
            if error:
                raise Refused(f"write of {space} {address + offset}")

    async def _read(self, space: int, address: int, count: int):
        """Reads are asked back to back or with gaps; every answer must come `BusServer.latency` cycles later."""
        dut, words, due = self._dut, [], []
        dut.space.value = int(space)
        asked, waited, ask = 0, 0, False
        while len(words) < count:
            ask = asked < count and (ask or self._rng.random() >= 0.1)
            dut.read.value, dut.address.value = int(ask), address + asked
            ready, valid, error, busy = await self._cycle("ready", "read_valid", "error", "o_busy")
            now = self.cycles
            assert bool(valid) == (bool(due) and due[0] == now), f"read_valid {valid} in cycle {now}, due {due[:1]}"
            if valid:
                due.pop(0)
                if error:
                    dut.read.value = 0
                    raise Refused(f"read of {space} {address + len(words)}")
                words.append(int(self.word))
            waited += 1
            if ask and ready:
                due.append(now + BusServer.latency)
                asked, waited, ask = asked + 1, 0, False
                self.meanwhile["read"] += busy
            assert waited < self._limit, f"watchdog: a read of space {space} not taken in {waited} cycles"
        dut.read.value = 0
        return np.array(words, np.uint16)

    async def _run(self, mask: int, sample: int):
        dut = self._dut
        await self._gap()
        dut.runs__payload.value, dut.runs__valid.value = int(mask) | sample << 16, 1
        busy, = await self._taken("runs__ready", "o_busy")
        self.meanwhile["runs"] += busy
        dut.runs__valid.value = 0
        busy, = await self._cycle("o_busy")
        assert busy, "the core is not busy in the cycle after it took a run"

    async def _sync(self):
        for _ in range(self._limit):
            busy, = await self._cycle("o_busy")
            if not busy:
                return
        raise AssertionError(f"watchdog: runs not done after {self._limit} cycles")

    def write(self, space, address, words):
        resume(self._write)(space, address, np.asarray(words, np.uint16).reshape(-1))

    def write_rows(self, space, address, rows, *, bits):
        assert not (np.asarray(rows) >> bits).any()
        self.write(space, address, rows)

    def fill(self, space, address, *, count, value):
        resume(self._write)(space, address, [value] * count)

    def read(self, space, address, count):
        return resume(self._read)(space, address, count)

    def run(self, mask, sample):
        resume(self._run)(mask, sample)

    def queue_read(self, space, address, count):
        words = self.read(space, address, count)

        class Handle:
            def result(self):
                return words

        return Handle()

    def sync(self):
        resume(self._sync)()


@cocotb.test()
async def training_is_the_golden_models(dut):
    bus = CoreBus(dut, random.Random(PARAMETERS["seed"]))
    await bus.start()
    counters = await bridge(train_small)(bus, seed=PARAMETERS["seed"], gradient=PARAMETERS["gradient"],
                                         batches=PARAMETERS["batches"])
    assert all(bus.meanwhile.values()), f"nothing met the core at work: {bus.meanwhile}"
    dut._log.info(f"{bus.cycles} cycles, {counters}, during runs {bus.meanwhile}")


@cocotb.test()
async def addresses_that_do_not_exist_are_refused(dut):
    bus = CoreBus(dut, random.Random(PARAMETERS["seed"]))
    await bus.start()
    ends = {space: depth * (CONFIG.lanes if space == Space.SYNAPSES else 1 << (-(-width // 16) - 1).bit_length())
            for space, (width, depth) in geometry(CONFIG).items()}
    for space, end in ends.items():
        await bus._write(space, end - 1, [0])
        await bus._read(space, end - 1, 1)
        for request in (bus._write(space, end, [0]), bus._read(space, end, 1)):
            try:
                await request
            except Refused:
                continue
            raise AssertionError(f"{space.name} took address {end}, its end")
    beyond = len(identity_words(CONFIG))
    for request in (bus._write(200, 0, [0]), bus._read(200, 0, 1), bus._write(Space.IDENTITY, beyond, [0])):
        try:
            await request
        except Refused:
            continue
        raise AssertionError("a space that does not exist answered")
