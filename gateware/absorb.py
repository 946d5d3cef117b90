"""LUTs that only feed a carry chain of an ECP5, moved into the chain's own cells.

A chain's cell has four inputs for each bit and needs two for a sum; synthesis leaves the others constant. So a LUT that
nothing but one bit of a chain reads, such as a multiplexer or a gate before an adder, may often go into that bit.
"""

from itertools import combinations, product

from .carries import CHAIN_CELL, readers_of

__all__ = ["absorb"]

_PINS = "ABCD"
_CONSTANTS = ("0", "1", "x")


def absorb(netlist: dict) -> int:
    """Moves LUTs of a netlist in Yosys' JSON into the cells of carry chains, in place; how many.

    A half of a `CCU2C` gives the carry ``LUT4 ? carry in : LUT2`` and the sum ``LUT4 ^ carry in``, where LUT2 is the
    four lowest bits of LUT4's table, a function of inputs A and B. LUT4 may take up any LUT as long as no more than
    four nets come in; the carry must still follow, wherever LUT4 is 0, from two of them, and where there are four, the
    table has to serve both.
    """
    done = 0
    for module in netlist["modules"].values():
        readers, cells = readers_of(module), module["cells"]
        drivers = {cell["connections"]["Z"][0]: name for name, cell in cells.items() if cell["type"] == "LUT4"}
        for cell in [cell for cell in cells.values() if cell["type"] == CHAIN_CELL]:
            for half in "01":
                if cell["parameters"][f"INJECT1_{half}"] != "NO":
                    continue
                more = True
                while more:
                    more = False
                    for pin in _PINS:
                        net = cell["connections"][f"{pin}{half}"][0]
                        name = drivers.get(net)
                        if name and readers[net] == 1 and name in cells and _into(cell, half, pin, cells[name]):
                            del cells[name]
                            done, more = done + 1, True
                            break
    return done


def _lut(cell: dict) -> tuple[str, list]:
    return cell["parameters"]["INIT"][::-1], [cell["connections"][pin][0] for pin in _PINS]


def _value(table: str, nets: list, known: dict) -> str:
    return table[sum(1 << place for place, net in enumerate(nets) if known[net] == "1")]


def _into(cell: dict, half: str, pin: str, lut: dict) -> bool:
    """Moves a LUT into the half of a chain's cell that reads it at `pin`, if it fits."""
    pins = cell["connections"]
    table, nets = cell["parameters"][f"INIT{half}"][::-1], [pins[f"{each}{half}"][0] for each in _PINS]
    moved = nets[_PINS.index(pin)]
    inner, inner_nets = _lut(lut)
    inputs = sorted({net for net in (*nets, *inner_nets) if net not in _CONSTANTS} - {moved})
    if len(inputs) > len(_PINS):
        return False
    propagated, carried = {}, {}
    for values in product("01", repeat=len(inputs)):
        known = {"0": "0", "1": "1", "x": "0", **dict(zip(inputs, values, strict=True))}
        known[moved] = _value(inner, inner_nets, known)
        propagated[values] = _value(table, nets, known)
        carried[values] = _value(table[:4], nets[:2], known)
    # Two inputs that say the carry wherever it is not the one that comes in.
    for pair in combinations(range(len(inputs)), min(2, len(inputs))):
        carry: dict = {}
        for values, value in carried.items():
            if propagated[values] == "0":
                carry.setdefault(tuple(values[place] for place in pair), set()).add(value)
        if any(len(each) > 1 for each in carry.values()):
            continue
        order = [*pair, *(place for place in range(len(inputs)) if place not in pair)]
        new = ["0"] * 16
        for index in range(16):
            bits = [str(index >> place & 1) for place in range(len(_PINS))]
            values = ["0"] * len(inputs)
            for place, where in enumerate(order):
                values[where] = bits[place]
            new[index] = propagated[tuple(values)]
        low = ["".join(carry.get(tuple(str(index >> place & 1) for place in range(len(pair))), new[index]))
               for index in range(4)]
        if len(inputs) < len(_PINS):    # D is 1, so that the lowest bits of the table are the carry's alone
            new[:4] = low
        elif low != new[:4]:
            continue
        cell["parameters"][f"INIT{half}"] = "".join(reversed(new))
        for place, each in enumerate(_PINS):
            pins[f"{each}{half}"] = [inputs[order[place]] if place < len(order) else "1"]
        return True
    return False
