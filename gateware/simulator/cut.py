"""Repeated modules of a simulated chip: programs of their own, each run once per place, and joined by generated C++."""

from typing import NamedTuple

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import In

from ..once import Apart, Place, flat_ports
from .outside import PIPE


class Cut(NamedTuple):
    """A place that was cut out of a chip: the module, and its ports by flow."""

    module: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Scissors(Apart):
    """Takes repeated modules out of a chip and brings the wires of every place to ports of the chip.

    Port `port` of a module stands at place 3 as `place_3_port` of the chip, an output of the module as an input.
    Ports have numbers for names, which mean the same in Verilog and C++.
    """

    def __init__(self):
        super().__init__(reset=False)
        self.cuts: list[Cut] = []

    def module_ports(self, component, name):
        return {f"port_{number}": port for number, port in enumerate(flat_ports(component, name).values())}

    def stand_in(self, place: Place):
        m = Module()
        number, name = len(self.cuts), place.repeated.name
        inputs, outputs = [], []
        for port, (value, flow) in self.module_ports(place, name).items():
            wire = Signal(len(value), name=f"place_{number}_{port}")
            self.ports[wire.name] = wire, None
            if flow == In:
                inputs.append(port)
                m.d.comb += wire.eq(value)
            else:
                outputs.append(port)
                m.d.comb += value.eq(wire)
        self.cuts.append(Cut(name, tuple(inputs), tuple(outputs)))
        return m


def joined(cuts: tuple[Cut, ...], *, sleepless: frozenset[str] = frozenset(), start: str = PIPE.start) -> str:
    """C++ of a whole chip, `class Chip`: the model of the chip, one for each place, and the wires between them.

    Its `clock` is a cycle; `settle` is to follow a change of an input of `top`, before the next cycle if it has PLACES.
    In a cycle all models take the edge with the inputs that they have. Then what has changed goes over the wires, and
    models whose inputs it changes are evaluated, until nothing changes: as in the whole design, also where paths
    without a register lead through places.

    Parameters
    ----------
    cuts : by number of place
    sleepless : modules of which a place without work must be run nevertheless (see place.h)
    start : what sets the inputs of the whole chip at first
    """
    kinds: dict[str, list[Cut]] = {}
    places = []
    for number, cut in enumerate(cuts):
        kind = kinds.setdefault(cut.module, [])
        places.append((f"{cut.module}_[{len(kind)}]", f"top.place_{number}_", cut))
        kind.append(cut)
    lines = ['#include "Vchip.h"', '#include "place.h"', *(f'#include "V{name}__Syms.h"' for name in kinds), "",
             "class Chip {", "  public:",
             "    explicit Chip(VerilatedContext* context)",
             "        : " + ", ".join(["top(context)", *(f"{name}_{{{', '.join(['context'] * len(kind))}}}"
                                                         for name, kind in kinds.items())]) + " {",
             f"        {start}"]
    for place, _, cut in places:
        lines += [f"        clear({place}.model.{port});" for port in cut.inputs]
        lines.append(f"        {place}.settle();")
    lines += ["        settle();", "    }", "", f"    static constexpr bool PLACES = {'true' if cuts else 'false'};",
              "    Vchip top;", "", "    void clock() {", "        top.clk = 1;", "        top.eval();",
              "        top.clk = 0;", "        top.eval();",
              *(f"        for (auto& place : {name}_) place.clock();" for name in kinds),
              "        spread(false);", "    }", "    void settle() { spread(true); }", "",
              "    uint64_t slept() const {", "        uint64_t cycles = 0;",
              *(f"        for (const auto& place : {name}_) cycles += place.slept;" for name in kinds),
              "        return cycles;", "    }", "", "  private:",
              "    void spread(bool moved) {", "        for (int round = 0; round < ROUNDS; round++) {"]
    for place, wires, cut in places:
        if cut.outputs:
            lines.append(f"            if ({place}.fresh) moved |= {_passes(cut.outputs, wires, place + '.model.')};")
        lines.append(f"            {place}.fresh = false;")
    lines += ["            if (moved) top.eval();", "            moved = false;"]
    lines += [f"            if ({_passes(cut.inputs, place + '.model.', wires)}) moved = true, {place}.settle();"
              for place, wires, cut in places if cut.inputs]
    lines += ["            if (!moved) return;", "            moved = false;", "        }", "        unsettled();",
              "    }", ""]
    lines += [f"    Place<V{name}, V{name}__Syms, {'false' if name in sleepless else 'true'}> {name}_[{len(kind)}];"
              for name, kind in kinds.items()]
    return "\n".join([*lines, "};", ""])


def _passes(ports: tuple[str, ...], to: str, source: str) -> str:
    """All are passed on, whether one was changed or not."""
    return " | ".join(f"pass({to}{port}, {source}{port})" for port in ports)
