"""How many bits are set."""

from amaranth.hdl import Module, Signal


def ones(m: Module, value, name: str) -> Signal:
    """How many bits are set; log depth."""
    counts = [value[place] for place in range(len(value))]
    while len(counts) > 1:
        counts = [left + right for left, right in zip(counts[::2], counts[1::2], strict=True)]
    total = Signal(range(len(value) + 1), name=f"ones_{name}")
    m.d.comb += total.eq(counts[0])
    return total
