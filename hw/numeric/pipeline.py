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

    def stage(self, **values: Value) -> SimpleNamespace:
        """Register every named value; returns the registers by name. In RTL ``s0_``, ``s1_``, … precede it."""
        registers = {}
        for name, value in values.items():
            register = Signal(value.shape(), name=f"s{self._depth}_{name}", reset_less=True)
            self._m.d.sync += register.eq(value)
            registers[name] = register
        self._depth += 1
        return SimpleNamespace(**registers)
