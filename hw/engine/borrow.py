"""Roundings, products and adders of the neuron units, which work for the optimiser while weights are updated.

Neurons rest then, and a forward and a backward unit have as many of each as an optimiser needs. But for its first
rounding and the product behind it, which it lends to the loss (`MomentumDescent.lends`), it has none of its own.
"""

from amaranth.hdl import Module
from amaranth.lib.wiring import In, Out, connect, flipped

from ..neuron.pipeline import port_of

__all__ = ["borrow", "lend", "lent_ports"]


def lent_ports(unit, *, units: int) -> dict:
    """Ports by which an engine passes on what its `units` neuron units lend."""
    ports = {f"{name}_{k}": Out(port_of(each)) for name, each in unit.lent.items() for k in range(units)}
    return {"i_lent": In(1), **ports} if ports else {}


def lend(m: Module, engine, unit, k: int):
    """Connects those ports with the engine's neuron unit number `k`."""
    names = engine.unit.lent
    if names:
        m.d.comb += unit.i_lent.eq(engine.i_lent)
    for name in names:
        connect(m, getattr(unit, name), flipped(getattr(engine, f"{name}_{k}")))


def borrow(m: Module, update, lenders, *, active):
    """Gives an update engine what the lenders lend, while `active`."""
    for lender in lenders:
        m.d.comb += lender.i_lent.eq(active)
        for name, (theirs, _) in update.unit.borrowed.items():
            if theirs in lender.unit.lent:
                for k in range(update.config.units):
                    connect(m, getattr(lender, f"{theirs}_{k}"), getattr(update, f"{name}_{k}"))
