"""Book-keeping of cycles for fixed-latency units whose operands meet at different depths."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory

from ..numeric.selection import spread

__all__ = ["Timed", "Timeline", "delay", "port_of"]

RING_DEPTH = 16
"""Words of a ring: as many as the LUT memory of an FPGA has."""

RING = 6
"""Cycles from which on a delay is a ring."""


def delay(m: Module, value: Value, cycles: int, *, name: str = "delayed", reset_less: bool = True) -> Value:
    """``value`` as it was ``cycles`` clock cycles ago; ``value`` itself where ``cycles`` is 0.

    Raises
    ------
    ValueError
        If ``cycles`` is negative.
    """
    if cycles < 0:
        raise ValueError(f"A delay must be at least 0 cycles, not {cycles!r}")
    for cycle in range(cycles):
        register = Signal(value.shape(), name=f"{name}_d{cycle + 1}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value


def port_of(parameters) -> wiring.Signature:
    """What a unit that is lent takes and gives, as the lender's output or the borrower's input."""
    return wiring.Signature(parameters.ports)


@dataclass(frozen=True, eq=False)
class Timed:
    """A value, and how many cycles after its item entered the unit it is valid."""

    value: Value
    cycle: int


class Delays(Elaboratable):
    """Delays of many values, told while a unit is elaborated and built when all are known.

    Where a value waits for `RING` cycles or more, it does so in a ring of LUT memory, which all values share that wait
    as long, and in one register behind it: sixteen cycles of four bits there take six cells, in registers as many
    registers as there are bits and cycles.
    """

    def __init__(self):
        self._wanted: list[tuple[Value, Signal, int]] = []

    def add(self, value: Value, cycles: int) -> Signal:
        """The value as it was ``cycles`` cycles ago, at least one."""
        name = getattr(value, "name", "value")
        delayed = Signal(value.shape(), name=f"{name}_d{cycles}", reset_less=True)
        self._wanted.append((value, delayed, cycles))
        return delayed

    def elaborate(self, platform):
        m = Module()
        rings: dict[int, list[tuple[Value, Signal]]] = {}
        for value, delayed, cycles in self._wanted:
            while cycles:
                length = min(cycles, RING_DEPTH + 1)
                if length < RING:
                    length = 1
                cycles -= length
                target = Signal.like(delayed, name=f"{delayed.name}_{cycles}") if cycles else delayed
                if length == 1:
                    m.d.sync += target.eq(value)
                else:
                    rings.setdefault(length, []).append((value, target))
                value = target
        if rings:
            place = Signal(range(RING_DEPTH))
            m.d.sync += place.eq(place + 1)
        for length, entries in rings.items():
            width = sum(len(value) for value, _ in entries)
            m.submodules[f"ring_{length}"] = ring = Memory(shape=unsigned(width), depth=RING_DEPTH, init=[])
            writer, reader = ring.write_port(), ring.read_port(domain="comb")
            # Written ahead of the place that is read; a whole turn ahead, what is read is what is about to be replaced.
            ahead = Signal(range(RING_DEPTH), init=(length - 1) % RING_DEPTH, name=f"ahead_{length}")
            m.d.sync += ahead.eq(ahead + 1)
            m.d.comb += [
                writer.en.eq(1), writer.addr.eq(ahead), writer.data.eq(Cat(value for value, _ in entries)),
                reader.addr.eq(place),
            ]
            m.d.sync += Cat(delayed for _, delayed in entries).eq(reader.data)
        return m


class Timeline:
    """Adds registers and units to a module and delays what is early, so that operands of one item always meet.

    Nothing here has a reset, an enable or a stall: an item moves one cycle per cycle. Each value has one chain of
    delays (`Delays`), however many readers ask for it.

    Parameters
    ----------
    m : Module
        Where registers (domain ``sync``) and submodules go.
    """

    def __init__(self, m: Module):
        self._m = m
        self._chains: dict[Timed, dict[int, Value]] = {}
        m.submodules.delays = self._delays = Delays()

    def at(self, timed: Timed, cycle: int) -> Value:
        """The value delayed to ``cycle``."""
        assert cycle >= timed.cycle, f"{timed.value!r} is valid in cycle {timed.cycle}, after cycle {cycle}"
        chain = self._chains.setdefault(timed, {timed.cycle: timed.value})
        if cycle not in chain:
            last = max(known for known in chain if known < cycle)
            chain[cycle] = self._delays.add(chain[last], cycle - last)
        return chain[cycle]

    def express(self, cycle: int, value: Value, name: str) -> Timed:
        """Names a combinational expression of values of ``cycle``."""
        signal = Signal(value.shape(), name=name)
        self._m.d.comb += signal.eq(value)
        return Timed(signal, cycle)

    def register(self, cycle: int, value: Value, name: str) -> Timed:
        """Registers an expression of values of ``cycle``; the result is valid one cycle later."""
        register = Signal(value.shape(), name=name, reset_less=True)
        self._m.d.sync += register.eq(value)
        return Timed(register, cycle + 1)

    def spread(self, cycle: int, values: list[Value], *, place: Value, name: str) -> list[Signal]:
        """`spread` of values of ``cycle``; its registers are valid one cycle later."""
        return spread(self._m, values, place=place, name=f"{name}_{cycle}")

    def unit(
        self, cycle: int, parameters, name: str, *, lent: tuple[Value, Any] | None = None, borrowed: Any = None,
        **inputs: Value,
    ) -> tuple[Timed, Timed]:
        """Creates a unit, feeds its ports with values of ``cycle``; its ``o`` and ``o_overflow``, a latency later.

        With ``lent``, a bit and a port of the unit's kind, the unit works for that port where the bit is set. With
        ``borrowed``, a port of the unit's kind, none is created: it stands behind that port.
        """
        component = borrowed
        if borrowed is None:
            self._m.submodules[name] = component = parameters.create()
        for port, value in inputs.items():
            if lent is not None:
                value = Mux(lent[0], getattr(lent[1], port), value)
            self._m.d.comb += getattr(component, port).eq(value)
        if lent is not None:
            self._m.d.comb += [lent[1].o.eq(component.o), lent[1].o_overflow.eq(component.o_overflow)]
        done = cycle + parameters.latency
        return Timed(component.o, done), Timed(component.o_overflow, done)

    def used(self, flag: Timed, *conditions: Timed) -> Timed:
        """The flag where all conditions hold, in the cycle of the last of them."""
        cycle = max(each.cycle for each in (flag, *conditions))
        value = self.at(flag, cycle)
        for condition in conditions:
            value = value & self.at(condition, cycle)
        return self.express(cycle, value, "used")

    def either(self, *flags: Timed) -> Timed:
        """OR of one-bit flags, in the cycle of the last; early flags are joined early, to be delayed as one."""
        first, *rest = sorted(flags, key=lambda flag: flag.cycle)
        for flag in rest:
            first = self.express(flag.cycle, self.at(first, flag.cycle) | flag.value, "either")
        return first

    def finish(self, timed: Timed, port: Signal, latency: int):
        """Drives an output port with the value ``latency`` cycles after the item entered."""
        self._m.d.comb += port.eq(self.at(timed, latency))
