"""A clock by hand and the agents around a component: each cycle they drive, the design settles, they observe.

No agent's inputs depend on outputs of the same cycle, so that nothing hangs on the order of events in a simulator.
"""

import random
from collections.abc import Callable

from amaranth.lib import data
from amaranth.lib.wiring import In
from cocotb.triggers import Timer

from engine_bank import flat_ports

__all__ = ["Memory", "Ports", "Sink", "Source", "edge", "faulty", "reset", "run", "values"]

FAULT_RATE = 1 / 12


class Ports:
    """The ports of one component of a bank: integers, or constants of the port's layout."""

    def __init__(self, dut, name: str, component):
        self._members = flat_ports(component)
        self._handles = {port: getattr(dut, f"{name}__{port}") for port in self._members}
        self.name = name
        self.outputs = [f"{name}__{port}" for port, member in self._members.items() if member.flow != In]
        for port, member in self._members.items():
            if member.flow == In:
                self._handles[port].value = 0

    def put(self, port: str, value):
        handle = self._handles[port]
        if isinstance(value, data.Const):
            value = value.as_bits()
        handle.value = int(value) & (1 << len(handle)) - 1

    def get(self, port: str):
        value, shape = self._handles[port].value, self._members[port].shape
        assert value.is_resolvable, f"{self.name}.{port} is {value}"
        bits = int(value)
        return shape.from_bits(bits) if isinstance(shape, data.Layout) else bits


class Source:
    """Offers payloads on a stream one after the other, with random gaps; `taken` holds their cycles."""

    def __init__(self, ports: Ports, port: str, payloads, *, rng: random.Random, gap: float = 0.0):
        self._ports, self._port, self._rng, self._gap = ports, port, rng, gap
        self.payloads, self.taken, self._offered = list(payloads), [], False

    @property
    def done(self) -> bool:
        return len(self.taken) == len(self.payloads)

    def drive(self, cycle: int):
        self._offered = not self.done and (self._offered or self._rng.random() >= self._gap)
        self._ports.put(f"{self._port}__valid", self._offered)
        if self._offered:
            self._ports.put(f"{self._port}__payload", self.payloads[len(self.taken)])

    def observe(self, cycle: int):
        if self._offered and self._ports.get(f"{self._port}__ready"):
            self.taken.append(cycle)
            self._offered = False


class Sink:
    """Takes what a stream offers, with random stalls, as (cycle, payload); checks that an offer stands until taken."""

    def __init__(self, ports: Ports, port: str, *, rng: random.Random, stall: float = 0.0,
                 on_take: Callable = lambda cycle, payload: None):
        self._ports, self._port, self._rng, self._stall, self._on_take = ports, port, rng, stall, on_take
        self.found, self.offered, self._standing, self._ready = [], [], None, False

    def drive(self, cycle: int):
        self._ready = self._rng.random() >= self._stall
        self._ports.put(f"{self._port}__ready", self._ready)

    def observe(self, cycle: int):
        if not self._ports.get(f"{self._port}__valid"):
            assert self._standing is None, f"{self._ports.name}.{self._port} withdrew an offer in cycle {cycle}"
            return
        payload = self._ports.get(f"{self._port}__payload")
        if self._standing is None:
            self.offered.append(cycle)
        else:
            assert _bits(payload) == _bits(self._standing), f"an offer on {self._port} changed in cycle {cycle}"
        self._standing = payload
        if self._ready:
            self._standing = None
            self.found.append((cycle, payload))
            self._on_take(cycle, payload)


class Memory:
    """Answers a read port `latency` cycles later, with random bits where the address has no row."""

    def __init__(self, ports: Ports, port: str, rows, *, width: int, rng: random.Random, latency: int = 1,
                 address: str = "address", data_port: str = "data"):
        self._ports, self._address, self._data = ports, f"{port}{address}", f"{port}{data_port}"
        self.rows, self._width, self._rng = rows, width, rng
        self._answers = [0] * latency

    def drive(self, cycle: int):
        self._ports.put(self._data, self._answers[0])

    def observe(self, cycle: int):
        at = self._ports.get(self._address)
        row = self.rows.get(at) if isinstance(self.rows, dict) else self.rows[at] if at < len(self.rows) else None
        self._answers = [*self._answers[1:], self._rng.getrandbits(self._width) if row is None else row]


class _Fault:
    """Inverts one output's lowest bit in some cycles."""

    number = 0
    rng = random.Random(0)


async def reset(dut, bank):
    """Two cycles of reset with every input at zero, fault off."""
    dut.rst.value = 1
    dut.i_fault.value = 0
    for name, component in bank.components.items():
        for port, member in flat_ports(component).items():
            if member.flow == In:
                getattr(dut, f"{name}__{port}").value = 0
    for _ in range(2):
        dut.clk.value = 0
        await Timer(1, "ns")
        dut.clk.value = 1
        await Timer(1, "ns")
    dut.rst.value = 0


async def edge(dut):
    """The edge that ends the last cycle of a `run`, for a scenario of several runs."""
    dut.clk.value = 1
    await Timer(1, "ns")


async def run(dut, agents, *, until: Callable[[], bool], limit: int) -> int:
    """Clocks until `until`; the number of cycles. Raises AssertionError after `limit`: the watchdog."""
    for cycle in range(limit):
        dut.clk.value = 0
        if _Fault.number:
            dut.i_fault.value = _Fault.number if _Fault.rng.random() < FAULT_RATE else 0
        for agent in agents:
            agent.drive(cycle)
        await Timer(1, "ns")
        for agent in agents:
            agent.observe(cycle)
        if until():
            return cycle
        dut.clk.value = 1
        await Timer(1, "ns")
    raise AssertionError(f"watchdog: not done after {limit} cycles")


async def faulty(dut, bank, outputs: list[str], scenario: Callable, *, seed: int, spare=()) -> int:
    """Runs a scenario with a fault on each output in turn; raises AssertionError where it passes all the same.

    `spare` names outputs that the scenario may not notice, each with a reason where it is given.
    """
    found = 0
    for output in outputs:
        if output in spare:
            continue
        _Fault.number, _Fault.rng = 1 + bank.faults.index(output), random.Random(seed)
        try:
            await scenario(random.Random(seed))
        except AssertionError:
            found += 1
        else:
            raise RuntimeError(f"a fault on {output} went unnoticed")
        finally:
            _Fault.number = 0
            await reset(dut, bank)
    return found


def _bits(payload) -> int:
    return payload.as_bits() if isinstance(payload, data.Const) else payload


def values(constant) -> dict:
    """A structure's fields as plain integers, nested ones too."""
    result = {}
    for name, _ in constant.shape():
        value = constant[name]
        result[name] = values(value) if isinstance(value, data.Const) else int(value)
    return result
