"""Book-keeping of cycles for fixed-latency units whose operands meet at different depths."""

from dataclasses import dataclass

from amaranth.hdl import Module, Signal, Value

from ..numeric.selection import spread

__all__ = ["Timed", "Timeline", "delay"]


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


@dataclass(frozen=True, eq=False)
class Timed:
    """A value, and how many cycles after its item entered the unit it is valid."""

    value: Value
    cycle: int


class Timeline:
    """Adds registers and units to a module and delays what is early, so that operands of one item always meet.

    Nothing here has a reset, an enable or a stall: an item moves one cycle per cycle. Each value has one chain of
    delay registers, however many readers ask for it.

    Parameters
    ----------
    m : Module
        Where registers (domain ``sync``) and submodules go.
    """

    def __init__(self, m: Module):
        self._m = m
        self._chains: dict[Timed, list[Value]] = {}

    def at(self, timed: Timed, cycle: int) -> Value:
        """The value delayed to ``cycle``."""
        assert cycle >= timed.cycle, f"{timed.value!r} is valid in cycle {timed.cycle}, after cycle {cycle}"
        chain = self._chains.setdefault(timed, [timed.value])
        while len(chain) <= cycle - timed.cycle:
            chain.append(delay(self._m, chain[-1], 1, name=getattr(timed.value, "name", "value")))
        return chain[cycle - timed.cycle]

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

    def unit(self, cycle: int, parameters, name: str, **inputs: Value) -> tuple[Timed, Timed]:
        """Creates a unit, feeds its ports with values of ``cycle``; its ``o`` and ``o_overflow``, a latency later."""
        component = parameters.create()
        self._m.submodules[name] = component
        for port, value in inputs.items():
            self._m.d.comb += getattr(component, port).eq(value)
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
