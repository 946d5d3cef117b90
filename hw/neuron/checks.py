"""Checks of operands that the models of all units share."""

__all__ = ["check_range", "check_sum"]


def check_range(name: str, value: int, *, least: int, greatest: int):
    """Raises ValueError naming the operand unless it lies in the range of its port."""
    if not least <= value <= greatest:
        raise ValueError(f"{name} must be {least} to {greatest}, not {value!r}")


def check_sum(value: int, *, width: int):
    """Raises ValueError unless the exact sum fits its two's complement port."""
    if not -(1 << width - 1) <= value < 1 << width - 1:
        raise ValueError(f"sum {value} does not fit {width} bits; use a wider unit")
