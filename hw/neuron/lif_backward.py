"""Leaky integrate-and-fire, backward: the error on a neuron's spikes becomes the error on its sum."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..numeric.binary16 import UNIT, decode, encode, fields_of
from ..numeric.multiplication import Multiplication
from ..numeric.rounding import Rounding
from .alignment import GRID, HEADROOM, PLACING, added, narrowed, placed, placed_word, signed_word
from .checks import check_range, check_sum
from .pipeline import Timed, Timeline, delay, port_of

__all__ = ["BackwardResult", "LIFBackward"]

LEAST_HEIGHT, GREATEST_HEIGHT = -16, 23
GREATEST_LENT = 40  # exponents of who borrows the product lie in ±GREATEST_LENT

# A product of two words is at least 2^17 where its shifts add up to 45 or more: 2^10·2^10·2^(45-48). One of them is
# then 16 or more and its word normal, and so is the other, whose shift cannot be 0.
_PRODUCT_SHIFT = 45
# Likewise c·e, from shift + log2 c = 31 on: 2^10·2^(31-24). A subnormal e, shift 0, does not get there.
_SCALED_SHIFT = 31


class BackwardResult(NamedTuple):
    """The word d[t] and whether a rounding that counts saturated."""

    error: int
    overflow: bool


@dataclass(frozen=True, kw_only=True)
class LIFBackward:
    """One step of leaky integrate-and-fire backwards in time (design rules version 1 §2).

    With c = 2^height_log, d' = d[t+1] (0 where ``start``) and u, s, m kept from the forward step::

        g = rnd(sum)                       or the error port's word, or 0
        e = rnd(g - mul(λ, u)·d')          soft: rnd(g - mul(λ, θ)·d')      detach: g
        d = rnd(m·c·e + (1 - s)·mul(λ, d'))     soft: rnd(m·c·e + mul(λ, d'))

    A layer that does not spike has d = rnd(g + mul(λ, d')). Where the mask is 0, neither g nor e matters or raises
    overflow, and nothing else that is not selected does.

    Parameters
    ----------
    width : int
        Bits of the exact sum of weights times errors.
    fraction : int, 24 to 60
        The sum's least bit weighs 2^-fraction.
    lends : bool
        The gateware lends two multipliers and two roundings while no neuron is under way (`lent`).

    Raises
    ------
    ValueError
        If a parameter is outside its range.
    """

    width: int = 92
    fraction: int = 2 * UNIT
    lends: bool = False

    def __post_init__(self):
        check_range("LIFBackward width", self.width, least=12, greatest=128)
        check_range("LIFBackward fraction", self.fraction, least=UNIT, greatest=60)

    @property
    def sum_rounding(self) -> Rounding:
        """Of the narrowed sum."""
        grid = min(self.fraction, GRID)
        return Rounding(width=1 + HEADROOM + grid, fraction=grid)

    @property
    def reset_rounding(self) -> Rounding:
        """Of g less a product below 2^19."""
        return Rounding(width=21 + GRID, fraction=GRID)

    @property
    def error_rounding(self) -> Rounding:
        """Of a leak and a scaled error below 2^18."""
        return Rounding(width=20 + GRID, fraction=GRID)

    @property
    def product(self) -> Multiplication:
        """Of decay and membrane, threshold or error."""
        return Multiplication()

    @property
    def reset_product(self) -> Multiplication:
        """Of decay and membrane or threshold; who borrows it moves its exponent."""
        return Multiplication(least=-GREATEST_LENT, greatest=GREATEST_LENT) if self.lends else self.product

    @property
    def lent(self) -> dict[str, Multiplication | Rounding]:
        """What is lent, by the name of its port."""
        return {
            "leak_product": self.product, "reset_product": self.reset_product, "error_rounding": self.error_rounding,
            "reset_rounding": self.reset_rounding,
        } if self.lends else {}

    @property
    def spike_error_cycle(self) -> int:
        """Cycle from which both g (narrowed, rounded, chosen) and the products with the decay are there."""
        return max(1 + self.sum_rounding.latency + 1, self.product.latency)

    @property
    def latency(self) -> int:
        """Cycles from an item to its result; one neuron per cycle may enter."""
        # Unpack, multiply, place, subtract, round; choose e, unpack, move its exponent, place, add, round.
        reset = self.spike_error_cycle + 2 + PLACING + 1 + self.reset_rounding.latency
        return reset + 1 + 2 + PLACING + 1 + self.error_rounding.latency

    def compute(
        self, *, sum: int, has_sum: bool, error: int, use_error: bool, next: int, start: bool, membrane: int,
        spike: bool, mask: bool, decay: int, threshold: int, height_log: int, spiking: bool, soft: bool, detach: bool,
    ) -> BackwardResult:
        """The step in integers: ``sum`` in units of 2^-fraction, all else as on the ports.

        Raises
        ------
        ValueError
            If a word is not finite binary16, ``sum`` does not fit, or ``height_log`` is not -16 to 23.
        """
        check_sum(sum, width=self.width)
        check_range("height_log", height_log, least=LEAST_HEIGHT, greatest=GREATEST_HEIGHT)
        later = 0 if start else next
        overflow = False
        scaled = 0  # c·e in units of 2^-40
        if mask or not spiking:
            word = error
            if not use_error:
                word, overflow = encode(sum if has_sum else 0, fraction=self.fraction)
            if spiking and not detach:
                reset, reset_overflow = self.product.compute(decay, threshold if soft else membrane)
                exact = (decode(word) << UNIT) - decode(reset) * decode(later)
                word, error_overflow = encode(exact, fraction=2 * UNIT)
                overflow |= reset_overflow or error_overflow
            scaled = decode(word) << (height_log if spiking else 0) - LEAST_HEIGHT
        leak = 0
        if soft or not spike or not spiking:
            leak, leak_overflow = self.product.compute(decay, later)
            overflow |= leak_overflow
        result, result_overflow = encode(scaled + (decode(leak) << -LEAST_HEIGHT), fraction=UNIT - LEAST_HEIGHT)
        return BackwardResult(result, overflow or result_overflow)

    def create(self) -> "LIFBackwardUnit":
        """Gateware that gives ``compute`` of its inputs ``latency`` cycles later."""
        return LIFBackwardUnit(self)


class LIFBackwardUnit(wiring.Component):
    """Pipelined `LIFBackward`: one neuron per cycle, ``LIFBackward.latency`` cycles, no stall.

    All inputs of a neuron are sampled in the cycle ``i_valid`` is high, the output is valid with ``o_valid``. Three
    roundings, two multipliers and one bare product (three DSPs); ``mul(λ, u)`` and ``mul(λ, θ)`` share a multiplier.

    Parameters
    ----------
    parameters : LIFBackward
        Format of the sum.

    Members
    -------
    i_valid : :py:`In(1)`
        A neuron enters.
    i_sum : :py:`In(signed(width))`
        Exact ``Σ_j w[i,j]·d[t,j]`` in units of 2^-fraction.
    i_has_sum : :py:`In(1)`
        0: the sum counts as 0.
    i_error, i_use_error : :py:`In(16)`, :py:`In(1)`
        g from the loss or the host, in place of the rounded sum.
    i_next : :py:`In(16)`
        d[t+1].
    i_start : :py:`In(1)`
        Last step, the first one backwards: d[t+1] counts as 0.
    i_membrane, i_spike, i_mask : :py:`In(16)`, :py:`In(1)`, :py:`In(1)`
        u, s and m of this step.
    i_decay, i_threshold : :py:`In(16)`
        λ and θ.
    i_height_log : :py:`In(signed(7))`
        log2 of c, -16 to 23.
    i_spiking, i_soft, i_detach : :py:`In(1)`
        The layer spikes; soft reset; the reset is detached from the gradient.
    o_valid : :py:`Out(1)`
        A result leaves.
    o_error : :py:`Out(16)`
        d[t].
    o_overflow : :py:`Out(1)`
        A rounding that counts saturated; 0 without ``o_valid``.
    i_lent : :py:`In(1)`
        With ``lends``: what is lent works for its port, and no neuron is under way.
    leak_product, reset_product, error_rounding, reset_rounding : :py:`Out(port_of(…))`
        With ``lends``.
    """

    i_lent: Signal
    leak_product: Any
    reset_product: Any
    error_rounding: Any
    reset_rounding: Any
    i_valid: Signal
    i_sum: Signal
    i_has_sum: Signal
    i_error: Signal
    i_use_error: Signal
    i_next: Signal
    i_start: Signal
    i_membrane: Signal
    i_spike: Signal
    i_mask: Signal
    i_decay: Signal
    i_threshold: Signal
    i_height_log: Signal
    i_spiking: Signal
    i_soft: Signal
    i_detach: Signal
    o_valid: Signal
    o_error: Signal
    o_overflow: Signal

    def __init__(self, parameters: LIFBackward):
        self._parameters = parameters
        super().__init__({
            "i_valid": In(1), "i_sum": In(signed(parameters.width)), "i_has_sum": In(1), "i_error": In(16),
            "i_use_error": In(1), "i_next": In(16), "i_start": In(1), "i_membrane": In(16), "i_spike": In(1),
            "i_mask": In(1), "i_decay": In(16), "i_threshold": In(16), "i_height_log": In(signed(7)),
            "i_spiking": In(1), "i_soft": In(1), "i_detach": In(1),
            "o_valid": Out(1), "o_error": Out(16), "o_overflow": Out(1),
            **({"i_lent": In(1)} if parameters.lends else {}),
            **{name: Out(port_of(unit)) for name, unit in parameters.lent.items()},
        })

    def _lent(self, name: str):
        return (self.i_lent, getattr(self, name)) if self._parameters.lends else None

    def elaborate(self, platform):
        m = Module()
        p = self._parameters
        line = Timeline(m)
        wants_error = line.express(0, self.i_mask | ~self.i_spiking, "wants_error")
        wants_sum = line.express(0, wants_error.value & self.i_has_sum & ~self.i_use_error, "wants_sum")
        wants_reset = line.express(0, self.i_mask & self.i_spiking & ~self.i_detach, "wants_reset")
        wants_leak = line.express(0, self.i_soft | ~self.i_spike | ~self.i_spiking, "wants_leak")

        later = line.express(0, Mux(self.i_start, 0, self.i_next), "later")
        base = Mux(self.i_soft, self.i_threshold, self.i_membrane)
        leak, leak_overflow = line.unit(
            0, p.product, "leak_product", lent=self._lent("leak_product"), a=self.i_decay, b=later.value)
        reset, product_overflow = line.unit(
            0, p.reset_product, "reset_product", lent=self._lent("reset_product"), a=self.i_decay, b=base,
            **({"k": Const(0, 1)} if p.lends else {}))

        total = line.register(0, narrowed(self.i_sum, fraction=p.fraction), "total")
        rounded, sum_overflow = line.unit(1, p.sum_rounding, "sum_rounding", i=total.value)
        now = p.spike_error_cycle - 1
        use_error, has_sum = Timed(self.i_use_error, 0), Timed(self.i_has_sum, 0)
        given = Mux(line.at(has_sum, now), line.at(rounded, now), 0)
        given = line.register(now, Mux(line.at(use_error, now), line.at(Timed(self.i_error, 0), now), given), "given")

        after, after_overflow = self._reset(line, m, given, reset=reset, later=later)
        now = after.cycle
        chosen = Mux(line.at(wants_reset, now), after.value, line.at(given, now))
        error = line.register(now, Mux(line.at(wants_error, now), chosen, 0), "error")

        leak = line.express(leak.cycle, Mux(line.at(wants_leak, leak.cycle), leak.value, 0), "leak")
        height = line.express(0, Mux(self.i_spiking, self.i_height_log, 0), "height")
        result, result_overflow = self._error(line, m, error, height=height, leak=leak)

        overflow = line.either(
            line.used(sum_overflow, wants_sum),
            line.used(product_overflow, wants_reset),
            line.used(after_overflow, wants_reset),
            line.used(leak_overflow, wants_leak),
            result_overflow,
        )
        valid = delay(m, self.i_valid, p.latency, name="valid", reset_less=False)
        assert result.cycle == p.latency
        line.finish(result, self.o_error, p.latency)
        m.d.comb += [self.o_valid.eq(valid), self.o_overflow.eq(valid & line.at(overflow, p.latency))]
        return m

    def _reset(self, line: Timeline, m: Module, given: Timed, *, reset: Timed, later: Timed) -> tuple[Timed, Timed]:
        """``rnd(given - reset·later)``, ``reset·later`` exact, and its overflow."""
        now = given.cycle
        a_sign, a_significand, a_shift = fields_of(m, line.at(reset, now))
        b_sign, b_significand, b_shift = fields_of(m, line.at(later, now))
        a_significand = line.register(now, a_significand, "reset_significand")
        b_significand = line.register(now, b_significand, "later_significand")
        power = line.register(now, a_shift + b_shift, "power")
        # As sign(g)·(|g| ± |product|): one carry chain.
        sign = Timed(given.value[15], now)
        negative = line.register(now, ~(a_sign ^ b_sign ^ sign.value), "negative")
        now += 1
        product = line.register(now, a_significand.value * b_significand.value, "product")
        power = line.register(now, Mux(power.value > _PRODUCT_SHIFT, _PRODUCT_SHIFT, power.value), "power_held")
        term = placed(
            line, significand=product, amount=power, negative=negative,
            greatest=_PRODUCT_SHIFT, drop=2 * UNIT - GRID, name="reset",
        )
        whole = placed_word(line, m, given, name="given", cycle=now + 1)
        now = term.cycle
        total = Cat(Const(0, GRID - UNIT), whole.value)
        width = self._parameters.reset_rounding.width
        exact = line.register(now, added(total, term.value, negative=line.at(negative, now), bits=width), "exact")
        word, overflow = line.unit(
            now + 1, self._parameters.reset_rounding, "reset_rounding", lent=self._lent("reset_rounding"),
            i=exact.value)
        return line.express(word.cycle, signed_word(word.value, line.at(sign, word.cycle)), "after"), overflow

    def _error(self, line: Timeline, m: Module, error: Timed, *, height: Timed, leak: Timed) -> tuple[Timed, Timed]:
        """``rnd(2^height·error + leak)`` and its overflow."""
        now = error.cycle
        sign, significand, shift = fields_of(m, error.value)
        significand = line.register(now, significand, "significand")
        # From LEAST_HEIGHT, to be unsigned.
        amount = line.register(now, (shift + line.at(height, now) - LEAST_HEIGHT)[:7], "amount")
        leak_sign = Timed(leak.value[15], leak.cycle)
        negative = line.register(now, sign ^ line.at(leak_sign, now), "opposite")
        now += 1
        greatest = _SCALED_SHIFT - LEAST_HEIGHT
        held = Mux(amount.value > greatest, greatest, amount.value)[: greatest.bit_length()]
        amount = line.register(now, held, "amount_held")
        significand = Timed(line.at(significand, now + 1), now + 1)
        now += 1
        term = placed(
            line, significand=significand, amount=amount, negative=negative,
            greatest=greatest, drop=UNIT - LEAST_HEIGHT - GRID, name="scaled",
        )
        whole = placed_word(line, m, leak, name="leak", cycle=now)
        now = term.cycle
        total = Cat(Const(0, GRID - UNIT), whole.value)
        width = self._parameters.error_rounding.width
        exact = line.register(now, added(total, term.value, negative=line.at(negative, now), bits=width), "sum_exact")
        word, overflow = line.unit(
            now + 1, self._parameters.error_rounding, "error_rounding", lent=self._lent("error_rounding"),
            i=exact.value)
        return line.express(word.cycle, signed_word(word.value, line.at(leak_sign, word.cycle)), "result"), overflow
