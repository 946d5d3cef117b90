"""Several components as one design, so that one build of a simulator serves many benches, with faults on demand."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


def flat_ports(component) -> dict[str, wiring.Member]:
    """Ports of a component by the name that Verilog gives them."""
    return {"__".join(map(str, path)): member for path, member, _ in component.signature.flatten(component)}


class Bank(wiring.Component):
    """Components side by side; the port p of component c is the port c__p.

    While `i_fault` is n, the lowest bit of output number n (`faults`, from 1) is inverted. That is how every bench
    shows that it would see its component go wrong at any output.
    """

    def __init__(self, components: dict):
        self.components = components
        self.faults = [f"{name}__{port}" for name, component in components.items()
                       for port, member in flat_ports(component).items() if member.flow == Out]
        super().__init__({"i_fault": In(16), **{name: Out(unit.signature) for name, unit in components.items()}})

    def elaborate(self, platform):
        m = Module()
        for name, unit in self.components.items():
            m.submodules[name] = unit
            inner = {"__".join(map(str, path)): value for path, _, value in unit.signature.flatten(unit)}
            for path, member, outer in unit.signature.flatten(getattr(self, name)):
                port = "__".join(map(str, path))
                value, plain = _plain(inner[port]), _plain(outer)
                if member.flow == In:
                    m.d.comb += value.eq(plain)
                else:
                    fault = self.i_fault == 1 + self.faults.index(f"{name}__{port}")
                    m.d.comb += plain.eq(value ^ fault)
        return m


def _plain(value):
    return value if not hasattr(value, "as_value") else value.as_value()
