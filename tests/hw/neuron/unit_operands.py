"""Operands of the neuron, loss and optimiser units: dense where a rounding, a comparison or a mask is decided."""

import random
from collections.abc import Iterator

from autapse.hw.engine.loss import MeanSquaredError
from autapse.hw.engine.optimiser import MomentumDescent
from autapse.hw.neuron.lif import LIFForward
from autapse.hw.neuron.lif_backward import LIFBackward

__all__ = ["UNITS", "items", "number", "unit_name"]

UNITS = {unit.__name__: unit for unit in (LIFForward, LIFBackward, MeanSquaredError, MomentumDescent)}

EDGES = (0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x3800, 0x3C00, 0xBC00, 0x3BFF, 0x7BFF, 0xFBFF)


def unit_name(unit) -> str:
    """Verilog identifier of a unit and its format."""
    return "_".join([type(unit).__name__.lower(), str(unit.width), str(getattr(unit, "fraction", 24))])


def number(word: int) -> int:
    """Value of a finite word in units of 2^-24."""
    exponent, significand = word >> 10 & 0x1F, word & 0x3FF
    magnitude = (significand | 0x400) << exponent - 1 if exponent else significand
    return -magnitude if word >> 15 else magnitude


def any_word(rng: random.Random) -> int:
    """A finite word: often an edge, often with few significant bits, all exponents alike."""
    if rng.random() < 0.15:
        return rng.choice(EDGES)
    significand = rng.getrandbits(10) & rng.choice((0x3FF, 0x3FF, 0x300, 0x007))
    return rng.getrandbits(1) << 15 | rng.randrange(31) << 10 | significand


def near_word(rng: random.Random, log: int) -> int:
    """A finite word of a magnitude around 2^log."""
    exponent = min(max(log + 15 + rng.randrange(-2, 3), 0), 30)
    return rng.getrandbits(1) << 15 | exponent << 10 | rng.getrandbits(10)


def below_one(rng: random.Random) -> int:
    """A constant such as a decay: mostly 0 to 1, now and then anything."""
    return any_word(rng) if rng.random() < 0.1 else rng.randrange(0x3C01)


def any_sum(rng: random.Random, *, width: int, fraction: int) -> int:
    """An exact sum: of any length, near a tie of binary16, a lone word, or close to saturation."""
    kind = rng.randrange(5)
    if kind == 0:
        value = rng.getrandbits(rng.randrange(1, width)) * rng.choice((-1, 1))
    elif kind == 1:
        value = 65520 + rng.choice((-1, 0, 1, -8, 300, 1 << 17)) << fraction
        value = (value + rng.choice((-1, 0, 1))) * rng.choice((-1, 1))
    else:
        word = any_word(rng)
        half_step = 1 << max((word >> 10 & 0x1F) - 1, 0) + fraction - 24 >> 1
        value = number(word) << fraction - 24
        if kind == 2:
            value += rng.choice((-1, 1)) * half_step + rng.choice((-1, 0, 0, 1))
        elif kind == 3:
            value += rng.getrandbits(rng.randrange(1, 40)) * rng.choice((-1, 1))
    return max(-(1 << width - 1), min((1 << width - 1) - 1, value))


def _forward(unit: LIFForward, rng: random.Random) -> dict:
    leak, threshold = any_word(rng), any_word(rng)
    total = any_sum(rng, width=unit.width, fraction=unit.fraction)
    half_width_log = rng.randrange(-16, 16)
    start = rng.random() < 0.2
    kind = rng.randrange(4)
    if kind:
        # u lands on θ, beside it, or at the rim of the mask; the leak is near enough for this to be possible.
        threshold = near_word(rng, rng.randrange(-14, 15))
        leak = near_word(rng, (threshold >> 10 & 0x1F) - 15 + rng.randrange(-3, 1))
        goal = number(threshold)
        if kind == 2:
            half_width_log = min(max((threshold >> 10 & 0x1F) - 15 + rng.randrange(-9, 3), -16), 15)
            goal += rng.choice((-1, 1)) << 24 + half_width_log
        goal += rng.choice((0, 0, 0, 1, -1, 2, -2, 1 << rng.randrange(20), -(1 << rng.randrange(20))))
        total = goal - (0 if start else number(leak)) << unit.fraction - 24
    return {
        "sum": total, "leak": leak, "start": start, "last": rng.random() < 0.2, "decay": below_one(rng),
        "threshold": threshold, "half_width_log": half_width_log, "spiking": rng.random() < 0.8,
        "soft": rng.random() < 0.5, "strict": rng.random() < 0.5,
    }


def _backward(unit: LIFBackward, rng: random.Random) -> dict:
    decay, later, base = below_one(rng), any_word(rng), any_word(rng)
    total = any_sum(rng, width=unit.width, fraction=unit.fraction)
    error, height_log = any_word(rng), rng.randrange(-16, 24)
    if rng.random() < 0.7:
        # g and the reset's product, and then c·e and the leak, of one magnitude, so that they cancel and tie.
        log = rng.randrange(-14, 8)
        decay, base, later = near_word(rng, 0), near_word(rng, rng.randrange(-2, 3)), near_word(rng, log)
        exact = number(decay) * number(base) * number(later) >> 48
        error = near_word(rng, min(max(abs(exact).bit_length() - 25, -15), 15))
        error = error & 0x7FFF | (exact < 0) << 15
        height_log = rng.randrange(-3, 4)
        if rng.random() < 0.5:
            total = (number(error) << unit.fraction - 24) + rng.choice((-1, 0, 1, 1 << 20))
    return {
        "sum": total, "has_sum": rng.random() < 0.9, "error": error, "use_error": rng.random() < 0.4, "next": later,
        "start": rng.random() < 0.1, "membrane": base, "spike": rng.random() < 0.5, "mask": rng.random() < 0.7,
        "decay": decay, "threshold": rng.choice((base, any_word(rng))), "height_log": height_log,
        "spiking": rng.random() < 0.8, "soft": rng.random() < 0.5, "detach": rng.random() < 0.2,
    }


def _loss(unit: MeanSquaredError, rng: random.Random) -> dict:
    readout = any_sum(rng, width=unit.width, fraction=24)
    inverse, target = below_one(rng), any_word(rng)
    kind = rng.randrange(4)
    if kind == 0:
        # A spike count over T steps.
        readout, inverse = rng.randrange(65) << 24, rng.randrange(0x2400, 0x3C01)
    elif kind == 1:
        # The product all but cancels the target.
        inverse = near_word(rng, -rng.randrange(8)) & 0x7FFF
        readout = (number(target) << 24) // number(inverse) + rng.choice((-1, 0, 1))
        readout = max(-(1 << unit.width - 1), min((1 << unit.width - 1) - 1, readout))
    elif kind == 2:
        inverse = any_word(rng)
    return {"readout": readout, "inverse_steps": inverse, "target": target, "gain": any_word(rng)}


def _descent(unit: MomentumDescent, rng: random.Random) -> dict:
    item = {
        "sum": any_sum(rng, width=unit.width, fraction=unit.fraction), "weight": any_word(rng),
        "remainder": any_word(rng), "momentum": any_word(rng), "momentum_factor": below_one(rng),
        "inverse_batch": below_one(rng), "rate": below_one(rng), "gradient_log": rng.randrange(-40, 41),
        "step_log": rng.randrange(-40, 41), "use_momentum": rng.random() < 0.7,
    }
    if rng.random() < 0.7:
        # Gradient and momentum alike, a step about as large as the remainder: sums cancel, weights carry.
        log = rng.randrange(-14, 12)
        total = number(near_word(rng, log)) << unit.fraction - 24
        item.update(
            sum=total + rng.choice((0, 1, -1)), momentum=near_word(rng, log), momentum_factor=near_word(rng, -1),
            inverse_batch=near_word(rng, -1), gradient_log=rng.randrange(-2, 3), rate=near_word(rng, -4),
            weight=near_word(rng, rng.randrange(-14, 16)), remainder=near_word(rng, rng.randrange(-14, 16)),
            step_log=rng.randrange(-12, 14),
        )
    return item


def _directed(unit) -> Iterator[dict]:
    """Every combination of the flags, with values on the edge where the flags matter."""
    if isinstance(unit, LIFForward):
        one = 1 << unit.fraction
        for flags in range(32):
            start, last, spiking, soft, strict = (bool(flags >> bit & 1) for bit in range(5))
            for threshold, exact in ((0x3C00, one), (0x8000, 0), (0xFBFF, 65504 * one), (0x0001, 0)):
                yield {
                    "sum": exact, "leak": 0xBC00 if threshold == 0x0001 else 0, "start": start, "last": last,
                    "decay": 0x4400, "threshold": threshold, "half_width_log": -16, "spiking": spiking, "soft": soft,
                    "strict": strict,
                }
    if isinstance(unit, LIFBackward):
        for flags in range(256):
            has_sum, use_error, start, spike, mask, spiking, soft, detach = (bool(flags >> bit & 1) for bit in range(8))
            # λ·u and λ·θ and λ·d' and the sum saturate by turns, so that a flag that is not obeyed shows.
            for decay, base, later in ((0x3800, 0x3C00, 0x3E01), (0x7BFF, 0x7BFF, 0x0001), (0x7BFF, 0x0001, 0x7BFF)):
                yield {
                    "sum": (1 << unit.fraction + 17) - 1, "has_sum": has_sum, "error": 0x3555, "use_error": use_error,
                    "next": later, "start": start, "membrane": base, "spike": spike, "mask": mask, "decay": decay,
                    "threshold": base ^ 0x8001, "height_log": -1, "spiking": spiking, "soft": soft, "detach": detach,
                }


_MAKERS = {LIFForward: _forward, LIFBackward: _backward, MeanSquaredError: _loss, MomentumDescent: _descent}


def items(unit, *, count: int, seed: int) -> Iterator[dict]:
    """Directed sets of operands for ``unit.compute``, then ``count`` random ones, the same for the same seed."""
    yield from _directed(unit)
    rng = random.Random(seed)
    held, program, left = getattr(unit, "held", ()), {}, 0
    for _ in range(count):
        item = _MAKERS[type(unit)](unit, rng)
        if held and not left:
            # A batch: so many weights in a row that what is of all of them stays.
            left, program = rng.choice((1, 3, 10, 40)), {name: item[name] for name in held}
        left -= 1
        yield item | program
