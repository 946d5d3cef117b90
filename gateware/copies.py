"""Registers with many readers, one for each few of them.

What reads a register lies all over the device, and no place for the register is near to all of it. A copy takes a
register, of which there are more than enough, and no LUT. Synthesis makes one of equal registers, so copies are made
behind it.
"""

import re

__all__ = ["copy"]

_REGISTER = "TRELLIS_FF"
_DIGITS = re.compile(r"(\d+)")


def copy(netlist: dict, *, most: int) -> int:
    """Gives each register of a netlist in Yosys' JSON no more than `most` readers, in place; how many copies it took.

    Readers of similar names stay together: what belongs together lies together.
    """
    done = 0
    for module in netlist["modules"].values():
        cells = module["cells"]
        readers: dict = {}
        for name, cell in cells.items():
            for pin, nets in cell["connections"].items():
                if cell["port_directions"][pin] != "output":
                    for place, net in enumerate(nets):
                        readers.setdefault(net, []).append((name, pin, place))
        kept = {bit for port in module["ports"].values() for bit in port["bits"]}
        free = 1 + max((bit for cell in cells.values() for bits in cell["connections"].values() for bit in bits
                        if isinstance(bit, int)), default=0)
        for name, cell in [(name, cell) for name, cell in cells.items() if cell["type"] == _REGISTER]:
            net = cell["connections"]["Q"][0]
            count = -(-len(readers.get(net, [])) // most)
            if count < 2 or net in kept:
                continue
            ordered = sorted(readers[net], key=lambda reader: [
                (int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(reader[0])])
            for number in range(1, count):
                copied = f"{name}$copy{number}"
                pins = {pin: list(nets) for pin, nets in cell["connections"].items()}
                cells[copied] = {**cell, "connections": {**pins, "Q": [free]}}
                module["netnames"][copied] = {"hide_name": 1, "bits": [free], "attributes": {}}
                for reader, pin, place in ordered[len(ordered) * number // count:len(ordered) * (number + 1) // count]:
                    cells[reader]["connections"][pin][place] = free
                free, done = free + 1, done + 1
    return done
