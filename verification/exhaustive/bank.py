"""The design under exhaustive test: many multipliers and two rounders behind wide ports, as a compiled C++ program."""

import hashlib
import os
import subprocess
from pathlib import Path

from amaranth.back import verilog
from amaranth.hdl import Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...hw.numeric.multiplication import Multiplication
from ...hw.numeric.rounding import Rounding
from .toolchain import tool_environment

__all__ = ["ROUNDINGS", "build"]

MULTIPLICATION = Multiplication()
ROUNDINGS = {"narrow": Rounding(width=52, fraction=24), "broad": Rounding(width=92, fraction=48)}

_HARNESS = Path(__file__).with_name("harness.cpp")


class Bank(wiring.Component):
    """``lanes`` multipliers that share one operand, and a rounder of each format, every kind on a clock of its own.

    Ports are as wide as C++ likes them: operands 16 bits apart, results 32 bits apart with the overflow flag at bit 16,
    values to round 128 bits. The units are Verilog modules of their own, so that each is elaborated once.

    Parameters
    ----------
    lanes : int
        Multipliers.
    """

    multiply_clk: Signal
    a: Signal
    b: Signal
    product: Signal

    def __init__(self, lanes: int):
        self._lanes = lanes
        super().__init__({
            "multiply_clk": In(1), "a": In(16), "b": In(16 * lanes), "product": Out(32 * lanes),
            **{f"{name}_{port}": member for name in ROUNDINGS
               for port, member in {"clk": In(1), "i": In(128), "o": Out(32)}.items()},
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        for lane in range(self._lanes):
            word, flag = self.product[32 * lane :][:16], self.product[32 * lane + 16]
            m.submodules[f"lane_{lane}"] = Instance(
                "multiplier", i_clk=self.multiply_clk, i_rst=0, i_a=self.a, i_b=self.b[16 * lane :][:16],
                o_o=word, o_o_overflow=flag,
            )  # fmt: skip
        for name, rounding in ROUNDINGS.items():
            value, result = getattr(self, f"{name}_i"), getattr(self, f"{name}_o")
            m.submodules[name] = Instance(
                f"rounder_{name}", i_clk=getattr(self, f"{name}_clk"), i_rst=0, i_i=value[: rounding.width],
                o_o=result[:16], o_o_overflow=result[16],
            )  # fmt: skip
        return m


def build(*, lanes: int, folder: Path, multiplier=None, rounders=None) -> Path:
    """Compile the bank and the harness; returns the program, at once if ``folder`` already holds it.

    Parameters
    ----------
    lanes : int
        Multipliers side by side; must divide 63488, the number of finite words, and be at least 8.
    folder : Path
        Where builds are kept, by content.
    multiplier, rounders : components
        Other gateware in place of the units' own, to show that a fault is found; ``rounders`` by the names of
        ``ROUNDINGS``.

    Raises
    ------
    ValueError
        If ``lanes`` does not divide the operands.
    subprocess.CalledProcessError
        If Verilator or the compiler fails; ``build.txt`` beside the program says how.
    """
    if lanes < 8 or 63488 % lanes:
        raise ValueError(f"Lanes must be at least 8 and divide 63488, not {lanes!r}")
    environment = tool_environment(make_overrides="OPT_FAST=-O2 OPT_SLOW=-O1 OPT_GLOBAL=-O2")
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        units = {"multiplier": multiplier or MULTIPLICATION.create()}
        for name, rounding in ROUNDINGS.items():
            units[f"rounder_{name}"] = (rounders or {}).get(name) or rounding.create()
        texts = [verilog.convert(unit, name=name, emit_src=False) for name, unit in units.items()]
        texts.append(verilog.convert(Bank(lanes), name="bank", emit_src=False))
    finally:
        os.environ.clear()
        os.environ.update(before)
    source = "\n".join(texts)
    key = hashlib.sha256((source + _HARNESS.read_text()).encode()).hexdigest()[:16]
    target = folder.absolute() / f"{lanes}-{key}"
    program = target / "exhaustive"
    if program.exists():
        return program
    target.mkdir(parents=True, exist_ok=True)
    (target / "bank.v").write_text(source)
    definitions = {
        "LANES": lanes,
        "MULTIPLY_LATENCY": MULTIPLICATION.latency,
        **{f"{name.upper()}_LATENCY": rounding.latency for name, rounding in ROUNDINGS.items()},
        **{f"{name.upper()}_WIDTH": rounding.width for name, rounding in ROUNDINGS.items()},
        **{f"{name.upper()}_FRACTION": rounding.fraction for name, rounding in ROUNDINGS.items()},
    }
    flags = ["-O2", "-std=c++20", "-march=native", *(f"-D{name}={value}" for name, value in definitions.items())]
    command = [
        "verilator", "--cc", "--exe", "--build", "-O3", "--x-assign", "fast", "--x-initial", "fast", "-Wno-fatal",
        "--top-module", "bank", "--prefix", "Vbank", "-Mdir", str(target / "objects"), "-CFLAGS", " ".join(flags),
        "-o", str(target / "exhaustive.partial"), str(target / "bank.v"), str(_HARNESS),
    ]  # fmt: skip
    with (target / "build.txt").open("w") as log:
        subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT, check=True)
    (target / "exhaustive.partial").rename(program)
    return program
