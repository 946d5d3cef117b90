"""Registers right behind the block RAMs of an ECP5, moved into the RAMs' own.

A block RAM takes almost 6 ns to answer, and less than 1 ns with the register that it has at its output. Synthesis does
not use that one.
"""

from .carries import readers_of

__all__ = ["enter"]

_RAM, _REGISTER = "DP16KD", "TRELLIS_FF"
_PDP = 36   # a port of so many bits takes the outputs of both


def enter(netlist: dict) -> int:
    """Moves registers of a netlist in Yosys' JSON into the block RAMs before them, in place; how many.

    An output of a port is registered with all others. So each that anyone reads must go to one register alone, of the
    port's clock, without an enable and without a reset. A register starts at 0, as the RAM's does.
    """
    done = 0
    for module in netlist["modules"].values():
        readers, cells = readers_of(module), module["cells"]
        behind = {cell["connections"]["DI"][0]: name for name, cell in cells.items()
                  if cell["type"] == _REGISTER and _plain(cell)}
        for cell in [cell for cell in cells.values() if cell["type"] == _RAM]:
            for ports in _readers(cell):
                nets = {pin: net for pin, (net,) in cell["connections"].items()
                        if pin[:3] in {f"DO{port}" for port in ports} and readers[net]}
                names = {pin: behind.get(net) for pin, net in nets.items()}
                clock = cell["connections"][f"CLK{ports[-1]}"]
                if not nets or not all(name and readers[nets[pin]] == 1 and cells[name]["connections"]["CLK"] == clock
                                       for pin, name in names.items()):
                    continue
                for port in ports:
                    cell["parameters"][f"REGMODE_{port}"] = "OUTREG"
                    cell["connections"][f"OCE{port}"] = ["1"]
                for pin, name in names.items():
                    cell["connections"][pin] = cells.pop(name)["connections"]["Q"]
                done += len(names)
    return done


def _readers(cell: dict) -> list[str]:
    """The ports that are read apart from each other, each by its letters, that of its clock last."""
    widths = [int(cell["parameters"][f"DATA_WIDTH_{port}"], 2) for port in "AB"]
    return ["AB"] if _PDP in widths else ["A", "B"]


def _plain(cell: dict) -> bool:
    """Whether a register takes its input in every cycle and nothing else ever."""
    parameters, pins = cell["parameters"], cell["connections"]
    return (parameters["CLKMUX"] == "CLK" and parameters["CEMUX"].strip() == "1" and pins["LSR"] == ["0"]
            and parameters["LSRMUX"] == "LSR" and parameters["REGSET"] == "RESET")
