"""Ends of carry chains on an ECP5, made shorter in a netlist that is about to be placed.

nextpnr puts two cells before a chain whose first carry is a constant, and two behind one whose last carry has a net,
also where nobody reads that. Neither is needed: a carry nobody reads may go, and the first bit of a chain can make its
carry by itself. Where its sum is wanted too, that takes a LUT.
"""

from collections import Counter

__all__ = ["CHAIN_CELL", "readers_of", "shorten"]

CHAIN_CELL = "CCU2C"
_LUT_INPUTS = "ABCD"


def shorten(netlist: dict) -> tuple[int, int]:
    """Frees the ends of all chains of a netlist in Yosys' JSON, in place; how many beginnings and how many ends.

    A `CCU2C` half gives the carry ``LUT4 ? carry in : LUT2`` and the sum ``LUT4 ^ carry in``, LUT2 being the four
    lowest bits of the same table and LUT4 a function of all inputs. With a constant carry in and constant C and D
    inputs, both are functions of A and B: the carry goes to LUT2 with LUT4 held at 0, the sum to a LUT of its own.
    """
    starts = ends = 0
    for module in netlist["modules"].values():
        readers = readers_of(module)
        chain = [(name, cell) for name, cell in module["cells"].items() if cell["type"] == CHAIN_CELL]
        for name, cell in chain:
            pins = cell["connections"]
            if not readers[pins["COUT"][0]]:
                _drop(cell, "COUT")
                ends += 1
            starts += _start(module, name, cell, wanted=readers[pins["S0"][0]] > 0)
    return starts, ends


def readers_of(module: dict) -> Counter:
    """How many pins and ports of a module read each net."""
    count = Counter(bit for port in module["ports"].values() if port["direction"] != "input" for bit in port["bits"])
    for cell in module["cells"].values():
        for port, bits in cell["connections"].items():
            if cell["port_directions"].get(port) != "output":
                count.update(bits)
    return count


def _start(module: dict, name: str, cell: dict, *, wanted: bool) -> bool:
    pins, table = cell["connections"], cell["parameters"]
    carry, fixed = pins["CIN"][0], [pins[f"{pin}0"][0] for pin in "CD"]
    if carry not in ("0", "1") or any(value not in ("0", "1") for value in fixed) or table["INJECT1_0"] != "NO":
        return False
    bits = table["INIT0"][::-1]
    above = sum(int(value) << 2 + place for place, value in enumerate(fixed))
    propagated = [bits[above + low] == "1" for low in range(4)]
    carried = [carry if propagated[low] else bits[low] for low in range(4)]
    # LUT2 sees the lowest four bits of the table, LUT4 those that the constants choose.
    if above == 0:
        return False
    _drop(cell, "CIN")
    table["INIT0"] = "0" * 12 + "".join(reversed(carried))
    if wanted:
        summed = "".join(str(int(each) ^ int(carry)) for each in reversed(propagated))
        inputs = {"A": pins["A0"], "B": pins["B0"], "C": ["0"], "D": ["0"]}
        module["cells"][f"{name}$sum"] = {
            "hide_name": 1, "type": "LUT4", "parameters": {"INIT": summed * 4}, "attributes": {},
            "port_directions": {**dict.fromkeys(_LUT_INPUTS, "input"), "Z": "output"},
            "connections": {**inputs, "Z": pins["S0"]},
        }
        _drop(cell, "S0")
    return True


def _drop(cell: dict, port: str):
    """Leaves a port without a net; nextpnr takes neither a port that is missing nor one without a bit."""
    cell["connections"][port] = ["x"]
