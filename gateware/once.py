"""One module, generated once, that stands in a design many times."""

import re

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, ClockSignal, Fragment, Instance, Module, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Repeated:
    """A component that a design holds many times: generating it takes the time of one.

    ::

        tile = Repeated(lambda: Tile(config), name="tile")
        for number in range(20):
            m.submodules[f"tile_{number}"] = one = tile.place()
            m.d.comb += one.x.eq(number)

    All places are the same module, so what differs from place to place comes in through ports. `convert` and what
    stands on it (simulators, synthesis) generate the module once and make an instance of it at every place. Elsewhere,
    as in Amaranth's own simulator, each place elaborates a component of its own; the design is the same. So does a
    place inside of another repeated module.

    The module has the clock of the domain sync around its place, and its reset where that has one; reset inserters
    around a place do not reach into it.

    Parameters
    ----------
    make : makes the component, a new one each time it is called, always of the same signature; it may use no other
        domain than sync
    name : of the module; a Verilog name that no other repeated module of the design has

    Raises
    ------
    TypeError
        If `make` is no function or makes no component.
    ValueError
        If the name is none, or two ports have one name in Verilog.
    """

    def __init__(self, make, *, name: str):
        if not callable(make):
            raise TypeError(f"make must be a function that makes the component, not {make!r}")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"name must be letters, digits and _, and start with no digit, not {name!r}")
        self.name = name
        self._make = make
        # Made for its signature, and given to whoever asks first: Amaranth warns of components that were never used.
        self.signature = None
        self._first = None
        self._first = self.component()
        self.signature = self._first.signature
        flat_ports(self._first, name)

    def component(self):
        """A component of the kind, without the wrapper, that nobody else has."""
        component, self._first = self._first or self._make(), None
        if not isinstance(component, wiring.Component):
            raise TypeError(f"make of the repeated module {self.name} must return a component, not {component!r}")
        if self.signature is not None and component.signature != self.signature:
            raise ValueError(f"make of the repeated module {self.name} must always return the same ports, not "
                             f"{component.signature!r} after {self.signature!r}")
        return component

    def place(self) -> "Place":
        """The module once more, to be a submodule: a component of the same signature."""
        return Place(self)


class Place(wiring.Component):
    """One of the places of a `Repeated`; has its ports."""

    def __init__(self, repeated: Repeated):
        self.repeated = repeated
        super().__init__(repeated.signature)

    def elaborate(self, platform):
        if isinstance(platform, Apart):
            return platform.take(self)
        m = Module()
        m.submodules.whole = whole = self.repeated.component()
        for name, (value, flow) in flat_ports(self, self.repeated.name).items():
            inner = flat_ports(whole, self.repeated.name)[name][0]
            m.d.comb += inner.eq(value) if flow == In else value.eq(inner)
        return m


class Apart:
    """An Amaranth platform that takes repeated modules out of a design.

    `modules` holds what it took, by name; `ports` what `stand_in` adds to the ports of the top.
    """

    def __init__(self, *, reset: bool = True):
        self.reset = reset
        self.modules: dict[str, Repeated] = {}
        self.ports: dict = {}

    def take(self, place: Place):
        """Notes the module of `place`; what stands there instead."""
        repeated = place.repeated
        if self.modules.setdefault(repeated.name, repeated) is not repeated:
            raise ValueError(f"two repeated modules are called {repeated.name}; give each a name of its own")
        return self.stand_in(place)

    def stand_in(self, place: Place):
        """An instance of the module."""
        ports: dict = {"i_clk": ClockSignal()}
        if self.reset:
            ports["i_rst"] = ResetSignal(allow_reset_less=True)
        for name, (value, flow) in flat_ports(place, place.repeated.name).items():
            ports[("i_" if flow == In else "o_") + name] = value
        return Instance(place.repeated.name, **ports)

    def alone(self, repeated: Repeated) -> str:
        """RTLIL of the module, with the ports that `stand_in` connects."""
        component = repeated.component()
        top = Module()
        top.domains.sync = domain = ClockDomain("sync", reset_less=not self.reset)
        top.submodules.whole = component
        ports = {name: (value, None) for name, (value, _) in self.module_ports(component, repeated.name).items()}
        ports["clk"] = domain.clk, None
        if self.reset:
            ports["rst"] = domain.rst, None
        return rtlil.convert(top, name=repeated.name, ports=ports, emit_src=False)

    def module_ports(self, component, name: str) -> dict:
        """{name: (value, flow)} of the ports of `component`, as the repeated module `name` has them."""
        return flat_ports(component, name)


def flat_ports(component, name: str) -> dict:
    """{Verilog name: (value, flow)} of the ports of the repeated module `name`; those without bits are left out."""
    ports: dict = {}
    for path, member, value in component.signature.flatten(component):
        flat = "_".join(map(str, path))
        if flat in ports or flat in ("clk", "rst"):
            raise ValueError(f"the repeated module {name} must not have two ports that are called {flat} in Verilog; "
                             f"clk and rst are those of the clock domain")
        ports[flat] = Value.cast(value), member.flow
    return {flat: port for flat, port in ports.items() if len(port[0])}


def convert(component, *, name: str, ports: dict | None = None, apart: Apart | None = None) -> dict[str, str]:
    """`component` as RTLIL texts by module name: the top `name`, then each repeated module, once.

    Parameters
    ----------
    component : any elaboratable; a component if `ports` is None
    name : of the top
    ports : of the top, as Amaranth's `rtlil.convert` takes them
    apart : takes the repeated modules out; a new one if None

    Raises
    ------
    ValueError
        If two repeated modules have one name, or one has the top's.
    """
    apart = apart or Apart()
    if ports is None:
        top = rtlil.convert(component, name=name, platform=apart, emit_src=False)
    else:
        fragment = Fragment.get(component, apart)
        top = rtlil.convert(fragment, name=name, ports=ports | apart.ports, emit_src=False)
    texts = {name: top}
    for repeated in apart.modules.values():
        if repeated.name in texts:
            raise ValueError(f"a repeated module must not be called {repeated.name}, as the whole design is")
        texts[repeated.name] = apart.alone(repeated)
    return texts
