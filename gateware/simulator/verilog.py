"""A component as Verilog that simulates fast and compiles fast."""

import gc
import re
from contextlib import contextmanager
from typing import NamedTuple

from amaranth.hdl import ClockDomain, Module

from ..once import convert
from .cut import Cut, Scissors
from .outside import PIPE, Outside
from .tools import yosys

_WORDS = re.compile(r"(?:    \\?\S+\[\d+\] = \S+;\n)+")
_WORD = re.compile(r"    (\\?\S+)\[(\d+)\] = (\S+);\n")
_LEAST = 4  # equal words that are worth a loop
_UNKNOWN = re.compile(r"<= (\d+)'hx+;")
COLLISIONS = ("old", "any")


class Design(NamedTuple):
    """Verilog texts by module, `chip` first, then the repeated modules; and what was cut out of the chip."""

    texts: dict[str, str]
    cuts: tuple[Cut, ...]


def verilog_of(component, *, collisions: str = "old", outside: Outside = PIPE) -> Design:
    """`component` as the module `chip` with the ports of `outside`, and `clk`. There is no reset.

    Every register starts with its initial value, and a reset input would make Verilator evaluate all that depends on
    it whenever any input changes: a quarter of the time of a simulation. Repeated modules are cut out (see `Scissors`):
    each is a text of its own, generated once, and the chip has the wires of their places as ports.

    Parameters
    ----------
    collisions : what a clocked reader gives of a word that is written in the cycle it is read: "old", the word before,
        as Amaranth has it, or "any", bits drawn anew each time, of which synthesis chooses what costs least

    Raises
    ------
    ValueError
        If `collisions` is neither, or is "any" for a component without a memory in which it could make a difference.
    """
    if collisions not in COLLISIONS:
        raise ValueError(f"collisions must be 'old' or 'any', not {collisions!r}")
    ports = outside.check(component)
    top = Module()
    top.domains.sync = domain = ClockDomain("sync", reset_less=True)
    top.submodules.chip = component
    ports["clk"] = domain.clk, None
    scissors = Scissors()
    with yosys(), _no_collector():
        designs = convert(top, name="chip", ports=ports, apart=scissors)
        texts = {name: _verilog(design, collisions) for name, design in designs.items()}
    if collisions == "any":
        drawn = 0
        for name, text in texts.items():
            texts[name], count = _UNKNOWN.subn(_drawn, text)
            drawn += count
        if not drawn:
            raise ValueError("no memory of this component is both read and written by a clock, so no reads collide")
    return Design({name: loops(text) for name, text in texts.items()}, tuple(scissors.cuts))


def _verilog(design: str, collisions: str) -> str:
    """`design` from RTLIL to Verilog as Amaranth does it; for "any", told what synthesis is told."""
    from amaranth._toolchain.yosys import find_yosys

    from ..flow import FREE_COLLISIONS
    free = f"{FREE_COLLISIONS}\n" if collisions == "any" else ""
    script = (f"read_rtlil <<rtlil\n{design}\nrtlil\n{free}proc -nomux -norom\nmemory_collect\n"
              "write_verilog -noattr -norename")
    return find_yosys(lambda version: version >= (0, 40)).run(["-q", "-"], script, ignore_warnings=True)


def _drawn(unknown: re.Match) -> str:
    return f"<= {{{', '.join(['$urandom'] * -(-int(unknown[1]) // 32))}}};"


def loops(text: str) -> str:
    """`text` with runs of one initial value of a memory as loops: one line per word takes Verilator, and the
    compiler after it, longer than all the rest of a chip."""
    def shorten(match):
        rows = [(name, int(row), value) for name, row, value in _WORD.findall(match[0])]
        lines = []
        while rows:
            name, first, value = rows[0]
            count = 1
            while count < len(rows) and rows[count] == (name, first + count, value):
                count += 1
            if count < _LEAST:
                lines += [f"    {name}[{row}] = {value};\n" for name, row, value in rows[:count]]
            else:
                lines.append(f"    for (int row = {first}; row < {first + count}; row = row + 1) "
                             f"{name}[row] = {value};\n")
            del rows[:count]
        return "".join(lines)
    return _WORDS.sub(shorten, text)


@contextmanager
def _no_collector():
    """Amaranth makes millions of small objects and keeps them; looking for garbage among them takes half its time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
