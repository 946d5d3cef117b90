"""The rules of arithmetic in rational numbers, written from the text of the rules and from nothing in the package.

NumPy's binary16 supplies the grid of numbers; which of two neighbours is nearest is decided in exact fractions.
"""

from fractions import Fraction

import numpy as np


def value(word: int) -> Fraction:
    """Exact value of a binary16 word."""
    return Fraction(float(np.uint16(word).view(np.float16)))


class Arithmetic:
    """``rnd`` and ``mul`` with a sticky overflow flag."""

    def __init__(self):
        self.overflow = False

    def rnd(self, exact: Fraction) -> Fraction:
        magnitude = abs(exact)
        if magnitude >= 65520:  # halfway from 65504 to the next binade
            self.overflow = True
            magnitude = Fraction(65504)
        else:
            # NumPy rounds twice, to binary64 first, and so may miss by one: its neighbours stand for election too.
            near = int(np.float16(min(float(magnitude), 65504.0)).view(np.uint16))
            candidates = range(max(near - 1, 0), min(near + 1, 0x7BFF) + 1)
            magnitude = value(min(candidates, key=lambda word: (abs(value(word) - magnitude), word % 2)))
        return -magnitude if exact < 0 else magnitude

    def mul(self, a: Fraction, b: Fraction, k: int = 0) -> Fraction:
        return self.rnd(a * b * Fraction(2) ** k)


def word(number: Fraction) -> int:
    """Word of a number that binary16 holds exactly; zero is +0."""
    half = np.float16(float(number) + 0.0)
    assert Fraction(float(half)) == number
    return int(half.view(np.uint16))


def lif_forward(
    *, fraction, sum, leak, start, last, decay, threshold, half_width_log, spiking, soft, strict
) -> tuple[int, int, int, int, bool]:
    """u, s, m, the new leak, overflow."""
    ops = Arithmetic()
    decay, threshold = value(decay), value(threshold)
    u = ops.rnd((Fraction(0) if start else value(leak)) + Fraction(sum, 2**fraction))
    s = m = 0
    if spiking:
        s = int(u > threshold if strict else u >= threshold)
        m = int(abs(u - threshold) < Fraction(2) ** half_width_log)
    state = ops if not last else Arithmetic()
    if soft:
        v = state.rnd(u - threshold * s)
    else:
        v = Fraction(0) if s else u
    new = state.mul(decay, v)
    return word(u), s, m, word(new), ops.overflow


def lif_backward(
    *, fraction, sum, has_sum, error, use_error, next, start, membrane, spike, mask, decay, threshold, height_log,
    spiking, soft, detach,
) -> tuple[int, bool]:
    """d[t], overflow."""
    ops = Arithmetic()
    decay = value(decay)
    later = Fraction(0) if start else value(next)

    def g():
        if use_error:
            return value(error)
        return ops.rnd(Fraction(sum, 2**fraction)) if has_sum else Fraction(0)

    if not spiking:
        return word(ops.rnd(g() + ops.mul(decay, later))), ops.overflow
    scaled = Fraction(0)
    if mask:
        e = g()
        if not detach:
            e = ops.rnd(e - ops.mul(decay, value(threshold if soft else membrane)) * later)
        scaled = Fraction(2) ** height_log * e
    leak = Fraction(0)
    if soft or not spike:
        leak = ops.mul(decay, later)
    return word(ops.rnd(scaled + leak)), ops.overflow


def mean_squared_error(*, readout, inverse_steps, target, gain) -> tuple[int, bool]:
    """g, overflow."""
    ops = Arithmetic()
    residual = ops.rnd(Fraction(readout, 2**24) * value(inverse_steps) - value(target))
    return word(ops.mul(value(gain), residual)), ops.overflow


def momentum_descent(
    *, fraction, sum, weight, remainder, momentum, momentum_factor, inverse_batch, rate, gradient_log, step_log,
    use_momentum,
) -> tuple[int, int, int, bool]:
    """W', R', M', overflow."""
    ops = Arithmetic()
    gradient = ops.rnd(Fraction(sum, 2**fraction))
    kept = ops.mul(value(momentum_factor), value(momentum)) if use_momentum else Fraction(0)
    new_momentum = ops.rnd(kept + ops.mul(value(inverse_batch), gradient, gradient_log))
    step = ops.mul(value(rate), new_momentum, step_log)
    x = value(weight) + Fraction(1, 1024) * (value(remainder) - step)
    new_weight = ops.rnd(x)
    new_remainder = ops.rnd(1024 * (x - new_weight))
    return word(new_weight), word(new_remainder), word(new_momentum), ops.overflow
