"""What is around a simulated design: its ports, and the program that drives them."""

from dataclasses import dataclass
from pathlib import Path

from amaranth.hdl import Value
from amaranth.lib.wiring import Out

_HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Outside:
    """A program around a design.

    Fields
    ------
    what : how a message calls the design
    harness : its C++
    ports : {path of names: whether it is an output}
    start : C++ that sets the inputs of `top` before anything is evaluated
    """

    what: str
    harness: Path
    ports: dict[tuple[str, ...], bool]
    start: str

    def check(self, component) -> dict:
        """The ports of `component` by their Verilog names. Raises TypeError if they are others."""
        found = {path: (value, member.flow == Out) for path, member, value in component.signature.flatten(component)}
        if set(found) != set(self.ports):
            names = dict.fromkeys(path[0] for path in self.ports)
            raise TypeError(f"{self.what} must have the ports {', '.join(names)} and no other, not "
                            f"{', '.join(sorted({str(path[0]) for path in found}))}")
        for path, out in self.ports.items():
            if found[path][1] != out:
                raise TypeError(f"{'.'.join(path)} of {self.what} must be an {'output' if out else 'input'}")
        return {"_".join(path): (Value.cast(value), None) for path, (value, _) in found.items()}


PIPE = Outside(
    what="a chip to simulate", harness=_HERE / "harness.cpp",
    ports={("i_line", "payload"): False, ("i_line", "valid"): False, ("i_line", "ready"): True,
           ("o_line", "payload"): True, ("o_line", "valid"): True, ("o_line", "ready"): False, ("o_busy",): True},
    start="top.clk = top.i_line_valid = 0; top.o_line_ready = 1;")
"""A chip whose line is standard input and output."""

PINS = Outside(
    what="a board to simulate", harness=_HERE / "board.cpp",
    ports={("i_rx",): False, ("o_tx",): True, ("o_lights",): True},
    start="top.clk = 0; top.i_rx = 1;")
"""A board below its clock, whose serial line is a pseudo-terminal."""
