"""Registers between the stages of a fixed-latency unit."""

from types import SimpleNamespace

from amaranth.hdl import Module, Signal, Value

__all__ = ["Pipeline"]


class Pipeline:
    """Adds register stages to a module and counts them, so that a unit's stated latency can be checked against them.

    The registers have no reset and no enable: what is in flight moves one stage per cycle, always.
    """

    def __init__(self, m: Module):
        self._m = m
        self._depth = 0

    @property
    def depth(self) -> int:
        """Stages so far: cycles from the inputs to the latest stage's signals."""
        return self._depth

    def stage(self, **values: Value | list[Value]) -> SimpleNamespace:
        """Register every named value, or list of them; returns the registers by name, lists as lists.

        In RTL ``s0_``, ``s1_``, … precede the name, and the place in a list follows it.
        """
        registers = {}
        for name, value in values.items():
            if isinstance(value, list):
                registers[name] = [self._register(f"{name}_{place}", each) for place, each in enumerate(value)]
            else:
                registers[name] = self._register(name, value)
        self._depth += 1
        return SimpleNamespace(**registers)

    def _register(self, name: str, value: Value) -> Signal:
        register = Signal(value.shape(), name=f"s{self._depth}_{name}", reset_less=True)
        self._m.d.sync += register.eq(value)
        return register
