"""Sources, sinks and a clock for cocotb benches of streams, all of them stepped together once a cycle."""

import random
from collections import deque

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly


def known(handle):
    """A port's value, X as 0: Icarus leaves what hangs on a state alone at X until that state first changes."""
    return int(str(handle.value).replace("X", "0"), 2)


class Source:
    """Offers the items of a queue on an input stream, after random stalls, and holds each until it is taken."""

    def __init__(self, dut, port, *, stall=0.0):
        self.handles = [getattr(dut, f"{port}__{field}") for field in ("payload", "valid", "ready")]
        self.stall = stall
        self.items = deque()
        self.holding = False

    def drive(self):
        payload, valid, _ = self.handles
        self.holding = bool(self.items) and (self.holding or random.random() >= self.stall)
        valid.value = int(self.holding)
        payload.value = self.items[0] if self.holding else random.getrandbits(len(payload))

    def sample(self):
        if self.holding and known(self.handles[2]):
            self.items.popleft()
            self.holding = False


class Sink:
    """Takes the items of an output stream, with random stalls, and checks that what is offered is held until taken."""

    def __init__(self, dut, port, *, stall=0.0):
        self.handles = [getattr(dut, f"{port}__{field}") for field in ("payload", "valid", "ready")]
        self.port = port
        self.stall = stall
        self.items = []
        self.times = []     # cycles the items were taken in, counted by this agent
        self.time = 0
        self.offered = None
        self.ready = 0
        self.may_withdraw = False

    def drive(self):
        self.ready = int(random.random() >= self.stall)
        self.handles[2].value = self.ready

    def sample(self):
        payload, valid, _ = self.handles
        now = int(payload.value) if known(valid) else None
        assert self.offered is None or self.may_withdraw or now == self.offered, \
            f"{self.port} offered {self.offered:#x}, then {now}"
        if now is not None and self.ready:
            self.items.append(now)
            self.times.append(self.time)
            now = None
        self.offered = now
        self.time += 1


class Bench:
    """Steps a design: agents drive at the falling edge and look just before the rising one; `cycle` counts."""

    def __init__(self, dut, *agents):
        self.dut = dut
        self.agents = list(agents)
        self.cycle = 0

    async def start(self):
        self.dut.rst.value = 1
        for agent in self.agents:
            agent.drive()
        Clock(self.dut.clk, 10, "ns").start()
        await FallingEdge(self.dut.clk)
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0
        for agent in self.agents:
            agent.drive()
        await ReadOnly()
        for agent in self.agents:
            agent.sample()

    async def step(self):
        """One cycle: after it, outputs can be read as the next rising edge will find them, and no input be set."""
        await FallingEdge(self.dut.clk)
        for agent in self.agents:
            agent.drive()
        await ReadOnly()
        for agent in self.agents:
            agent.sample()
        self.cycle += 1

    async def until(self, condition, *, watchdog):
        """Steps until `condition()`; an AssertionError after `watchdog` cycles."""
        end = self.cycle + watchdog
        while not condition():
            assert self.cycle < end, f"nothing came of it in {watchdog} cycles"
            await self.step()


class Agent:
    """Any pair of functions as an agent."""

    def __init__(self, drive=lambda: None, sample=lambda: None):
        self.drive, self.sample = drive, sample
