"""A shift by a variable amount out of registers that clear themselves, and one OR per bit."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

__all__ = ["gathered", "shifted", "spread"]


def spread(m: Module, values: list[Value], *, place: Value | list[Value], name: str) -> list[Signal]:
    """Registers for the values, of which number ``place`` takes its value and all others become zero.

    A register with a synchronous reset takes no logic, so `gathered` gets for one LUT of four inputs per bit what costs
    a tree of multiplexers otherwise. Where there are many bits, ``place`` is better a list of a bit for each value,
    from registers.
    """
    registers = []
    for number, value in enumerate(values):
        register = Signal(len(value), name=f"{name}_{number}", reset_less=True)
        m.d.sync += register.eq(Mux(place[number] if isinstance(place, list) else place == number, value, 0))
        registers.append(register)
    return registers


def gathered(parts: list[Signal], *, step: int, width: int, invert: Value | None = None) -> Value:
    """The value that `spread` kept, shifted left by ``step`` times its place, as ``width`` bits, unsigned.

    All bits are inverted where ``invert`` is set.
    """
    total: Value = Const(0, width)
    for number, part in enumerate(parts):
        total = total | Cat(Const(0, step * number), part)[:width]
    return total if invert is None else total ^ invert.replicate(width)


def shifted(m: Module, value: Value, *, amount: Value, step: int) -> Value:
    """``value`` shifted left by ``step`` times ``amount``, with one multiplexer of two per bit and bit of ``amount``.

    Where words are narrow this takes few LUTs, and none of the registers of `spread`.
    """
    for power in range(len(amount)):
        distance = step << power
        moved = Signal(len(value) + distance, name=f"shifted_{distance}")
        m.d.comb += moved.eq(Mux(amount[power], Cat(Const(0, distance), value), value))
        value = moved
    return value
