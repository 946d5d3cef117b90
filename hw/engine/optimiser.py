"""Stochastic gradient descent with momentum: an exact gradient sum updates weight, remainder and momentum."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from ..neuron.addition import Addition
from ..neuron.alignment import GRID, HEADROOM, PLACING, added, narrowed, placed_word, signed_word
from ..neuron.checks import check_range, check_sum
from ..neuron.lif import LIFForward
from ..neuron.lif_backward import LIFBackward
from ..neuron.pipeline import Timed, Timeline, delay, port_of
from ..numeric.binary16 import UNIT, decode, encode
from ..numeric.multiplication import Multiplication
from ..numeric.rounding import Rounding

__all__ = ["MomentumDescent", "UpdateResult"]

REMAINDER_LOG = 10
"""The remainder holds 2^REMAINDER_LOG times what binary16 could not keep of the weight."""

GREATEST_LOG = 40
"""Exponents of the program lie in ±GREATEST_LOG."""

_FINE = UNIT + REMAINDER_LOG  # the update is exact in units of 2^-34
_UNPACKING = 1  # cycles for words that come from units far away, before they are placed


class UpdateResult(NamedTuple):
    """The words W', R' and M', and whether a rounding that counts saturated."""

    weight: int
    remainder: int
    momentum: int
    overflow: bool


@dataclass(frozen=True, kw_only=True)
class MomentumDescent:
    """Update of one weight at the end of a batch (design rules version 1 §2)::

        G  = rnd(sum)
        M' = rnd(mul(momentum_factor, M) + mul(inverse_batch, G, gradient_log))
        p  = mul(rate, M', step_log)
        x  = W + 2^-10·(R - p)                  exact
        W' = rnd(x),  R' = rnd(2^10·(x - W'))

    with ``inverse_batch = rnd(1/B)``, ``gradient_log = k - log2 S`` and ``step_log = 10 - k``. Without
    ``use_momentum`` M counts as 0; M' still drives the step, and there is no need to store it. Where W' saturates, R'
    is what is left over just the same, saturating in its turn.

    Parameters
    ----------
    width : int
        Bits of the exact gradient sum.
    fraction : int, 24 to 60
        The sum's least bit weighs 2^-fraction.
    lends : bool
        The gateware lends the rounding of its sum and the product behind it while it has no weight to update:
        `MeanSquaredError` takes the same two steps, and never at the same time.
    borrows : bool
        All other roundings, products and the adder are those of a `LIFForward` and a `LIFBackward` that lend them.

    Attributes
    ----------
    held : operands that are of a batch and not of a weight; their ports must not change while a weight is under way

    Raises
    ------
    ValueError
        If a parameter is outside its range.
    """

    width: int = 52
    fraction: int = UNIT
    lends: bool = False
    borrows: bool = False
    held: ClassVar = ("momentum_factor", "inverse_batch", "rate", "gradient_log", "step_log", "use_momentum")

    def __post_init__(self):
        check_range("MomentumDescent width", self.width, least=12, greatest=128)
        check_range("MomentumDescent fraction", self.fraction, least=UNIT, greatest=60)

    @property
    def sum_rounding(self) -> Rounding:
        """Of the narrowed sum; where it is lent, of a sum on the finest grid and a bit more."""
        grid = GRID if self.lends else min(self.fraction, GRID)
        return Rounding(width=1 + self.lends + HEADROOM + grid, fraction=grid)

    @property
    def addition(self) -> Addition:
        """Of kept and fresh momentum."""
        return Addition()

    @property
    def weight_rounding(self) -> Rounding:
        """Of x, below 2^17, cut to odd."""
        return Rounding(width=18 + GRID, fraction=GRID)

    @property
    def remainder_rounding(self) -> Rounding:
        """Of 2^10·(x - W'), which is below 2^17 also where W' saturates."""
        return Rounding(width=42, fraction=UNIT)

    @property
    def plain_product(self) -> Multiplication:
        """Of momentum factor and momentum."""
        return Multiplication()

    @property
    def moved_product(self) -> Multiplication:
        """Of words whose product moves its exponent."""
        return Multiplication(least=-GREATEST_LOG, greatest=GREATEST_LOG)

    @property
    def borrowed(self) -> dict[str, tuple[str, Addition | Multiplication | Rounding]]:
        """What is borrowed, by the name of its port: the lender's name of it and the unit."""
        forward, backward = LIFForward(lends=True), LIFBackward(lends=True)
        return {
            "momentum_sum": ("difference", forward.difference),
            "momentum_product": ("leak_product", backward.product),
            "step_product": ("reset_product", self.moved_product),
            "weight_rounding": ("error_rounding", backward.error_rounding),
            "remainder_rounding": ("reset_rounding", backward.reset_rounding),
        } if self.borrows else {}

    @property
    def lent_ports(self) -> dict[str, Member]:
        """Ports by which the unit lends."""
        return {"i_lent": In(1), "i_lent_exact": In(signed(self.sum_rounding.width)), "i_lent_factor": In(16),
                "o_lent": Out(16), "o_lent_overflow": Out(1)} if self.lends else {}

    @property
    def latency(self) -> int:
        """Cycles from an item to its results; one weight per cycle may enter."""
        momentum = 1 + self.sum_rounding.latency + self.moved_product.latency
        momentum += self.addition.latency
        weight = momentum + self.moved_product.latency + _UNPACKING + PLACING + 2 + self.weight_rounding.latency
        return weight + _UNPACKING + PLACING + 1 + self.remainder_rounding.latency

    def compute(
        self, *, sum: int, weight: int, remainder: int, momentum: int, momentum_factor: int, inverse_batch: int,
        rate: int, gradient_log: int, step_log: int, use_momentum: bool,
    ) -> UpdateResult:
        """The update in integers: ``sum`` in units of 2^-fraction, the rest words and exponents.

        Raises
        ------
        ValueError
            If a word is not finite binary16, ``sum`` does not fit, or an exponent is not -40 to 40.
        """
        check_sum(sum, width=self.width)
        for name, log in (("gradient_log", gradient_log), ("step_log", step_log)):
            check_range(name, log, least=-GREATEST_LOG, greatest=GREATEST_LOG)
        gradient, overflow = encode(sum, fraction=self.fraction)
        kept, kept_overflow = self.plain_product.compute(momentum_factor, momentum if use_momentum else 0)
        fresh, fresh_overflow = self.moved_product.compute(inverse_batch, gradient, gradient_log)
        new_momentum, momentum_overflow = encode(decode(kept) + decode(fresh))
        step, step_overflow = self.moved_product.compute(rate, new_momentum, step_log)
        exact = (decode(weight) << REMAINDER_LOG) + decode(remainder) - decode(step)
        new_weight, weight_overflow = encode(exact, fraction=_FINE)
        left = exact - (decode(new_weight) << REMAINDER_LOG)
        new_remainder, remainder_overflow = encode(left)
        overflow |= kept_overflow or fresh_overflow or momentum_overflow
        overflow |= step_overflow or weight_overflow or remainder_overflow
        return UpdateResult(new_weight, new_remainder, new_momentum, overflow)

    def create(self) -> "MomentumDescentUnit":
        """Gateware that gives ``compute`` of its inputs ``latency`` cycles later."""
        return MomentumDescentUnit(self)


class MomentumDescentUnit(wiring.Component):
    """Pipelined `MomentumDescent`: one weight per cycle, ``MomentumDescent.latency`` cycles, no stall.

    What is of a weight is sampled in the cycle ``i_valid`` is high, what is of a batch (``MomentumDescent.held``) stays
    as it is from there on until the result has left; all outputs are valid with ``o_valid``. Three roundings, an adder
    and three multipliers (three DSPs); where it borrows, one rounding and one multiplier of its own.

    Parameters
    ----------
    parameters : MomentumDescent
        Format of the sum.

    Members
    -------
    i_valid : :py:`In(1)`
        A weight enters.
    i_sum : :py:`In(signed(width))`
        Exact gradient sum over batch and steps, in units of 2^-fraction.
    i_weight, i_remainder, i_momentum : :py:`In(16)`
        W, R and M.
    i_momentum_factor, i_inverse_batch, i_rate : :py:`In(16)`
        μ, ``rnd(1/B)`` and η.
    i_gradient_log, i_step_log : :py:`In(signed(7))`
        k - log2 S and 10 - k, -40 to 40.
    i_use_momentum : :py:`In(1)`
        0: M counts as 0.
    o_valid : :py:`Out(1)`
        Results leave.
    o_weight, o_remainder, o_momentum : :py:`Out(16)`
        W', R' and M'.
    o_overflow : :py:`Out(1)`
        A rounding saturated; 0 without ``o_valid``.
    i_lent : :py:`In(1)`
        With ``lends``: the next three ports count, and no weight is under way.
    i_lent_exact, i_lent_factor : :py:`In(signed(w))`, :py:`In(16)`
        With ``lends``: a value as ``MomentumDescent.sum_rounding`` takes it, and a word that stays as it is.
    o_lent, o_lent_overflow : :py:`Out(16)`, :py:`Out(1)`
        With ``lends``: ``mul(factor, rnd(exact))``, a rounding and a product later, and whether one saturated.
    momentum_sum, momentum_product, step_product, weight_rounding, remainder_rounding : :py:`In(port_of(…))`
        With ``borrows``.
    """

    i_valid: Signal
    i_sum: Signal
    i_weight: Signal
    i_remainder: Signal
    i_momentum: Signal
    i_momentum_factor: Signal
    i_inverse_batch: Signal
    i_rate: Signal
    i_gradient_log: Signal
    i_step_log: Signal
    i_use_momentum: Signal
    o_valid: Signal
    o_weight: Signal
    o_remainder: Signal
    o_momentum: Signal
    o_overflow: Signal
    i_lent: Signal
    i_lent_exact: Signal
    i_lent_factor: Signal
    o_lent: Signal
    o_lent_overflow: Signal

    def __init__(self, parameters: MomentumDescent):
        self._parameters = parameters
        super().__init__({
            **parameters.lent_ports, **{name: In(port_of(unit)) for name, (_, unit) in parameters.borrowed.items()},
            "i_valid": In(1), "i_sum": In(signed(parameters.width)), "i_weight": In(16), "i_remainder": In(16),
            "i_momentum": In(16), "i_momentum_factor": In(16), "i_inverse_batch": In(16), "i_rate": In(16),
            "i_gradient_log": In(signed(7)), "i_step_log": In(signed(7)), "i_use_momentum": In(1),
            "o_valid": Out(1), "o_weight": Out(16), "o_remainder": Out(16), "o_momentum": Out(16),
            "o_overflow": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        p = self._parameters
        line = Timeline(m)
        total = line.register(0, narrowed(self.i_sum, fraction=p.fraction), "total")
        summed = total.value
        if p.lends:
            summed = Mux(self.i_lent, self.i_lent_exact, summed << p.sum_rounding.fraction - min(p.fraction, GRID))
        gradient, sum_overflow = line.unit(1, p.sum_rounding, "sum_rounding", i=summed)
        now = gradient.cycle
        scale, log = self.i_inverse_batch, self.i_gradient_log
        if p.lends:
            scale, log = Mux(self.i_lent, self.i_lent_factor, scale), Mux(self.i_lent, 0, log)
        fresh, fresh_overflow = line.unit(
            now, p.moved_product, "gradient_product", a=scale, b=gradient.value, k=log)
        if p.lends:
            m.d.comb += [self.o_lent.eq(fresh.value),
                         self.o_lent_overflow.eq(line.either(sum_overflow, fresh_overflow).value)]
        # Registered first, so that memories may drive the port: a DSP block is most of a cycle.
        held = line.register(0, Mux(self.i_use_momentum, self.i_momentum, 0), "held")
        kept, kept_overflow = self._unit(
            line, 1, p.plain_product, "momentum_product", a=self.i_momentum_factor, b=held.value)
        now = fresh.cycle
        momentum, momentum_overflow = self._unit(
            line, now, p.addition, "momentum_sum", a=line.at(kept, now), b=fresh.value)

        now = momentum.cycle
        step, step_overflow = self._unit(
            line, now, p.moved_product, "step_product", a=self.i_rate, b=momentum.value, k=self.i_step_log)
        exact, turned = self._exact(line, m, step)
        weight, weight_overflow = self._unit(
            line, exact.cycle, p.weight_rounding, "weight_rounding",
            i=narrowed(exact.value, fraction=_FINE))
        remainder, remainder_overflow = self._remainder(line, m, weight, exact=exact)

        overflow = line.either(
            sum_overflow, kept_overflow, fresh_overflow, momentum_overflow, step_overflow, weight_overflow,
            remainder_overflow,
        )
        valid = delay(m, self.i_valid, p.latency, name="valid", reset_less=False)
        assert remainder.cycle == p.latency
        for word, port in ((weight, self.o_weight), (remainder, self.o_remainder)):
            m.d.comb += port.eq(signed_word(line.at(word, p.latency), line.at(turned, p.latency)))
        line.finish(momentum, self.o_momentum, p.latency)
        m.d.comb += [self.o_valid.eq(valid), self.o_overflow.eq(valid & line.at(overflow, p.latency))]
        return m

    def _exact(self, line: Timeline, m: Module, step: Timed) -> tuple[Timed, Timed]:
        """x with the sign of R taken out, in units of 2^-34, and that sign."""
        now = step.cycle + _UNPACKING
        turned = Timed(line.at(Timed(self.i_remainder[15], 0), step.cycle), step.cycle)
        minus = line.express(step.cycle, ~(step.value[15] ^ turned.value), "minus_step")
        base = placed_word(line, m, Timed(self.i_remainder, 0), name="remainder", cycle=now)
        term = placed_word(line, m, step, negative=Timed(line.at(minus, now), now), name="step", cycle=now)
        now = term.cycle
        moved = line.register(now, added(base.value, term.value, negative=line.at(minus, now), bits=42), "moved")

        placing = now + 1 - PLACING
        negative = line.at(Timed(self.i_weight[15], 0), placing) ^ line.at(turned, placing)
        minus = line.express(placing, negative, "minus_weight")
        term = placed_word(line, m, Timed(self.i_weight, 0), negative=minus, name="weight", cycle=placing)
        now = term.cycle
        minus = line.at(minus, now)
        term = Cat(minus.replicate(REMAINDER_LOG), term.value)
        return line.register(now, added(moved.value, term, negative=minus, bits=18 + _FINE), "exact"), turned

    def _remainder(self, line: Timeline, m: Module, weight: Timed, *, exact: Timed) -> tuple[Timed, Timed]:
        """``rnd(2^10·(x - W'))`` and its overflow."""
        rounding = self._parameters.remainder_rounding
        bits = rounding.width
        # The difference fits these bits, so neither operand needs more.
        lower = Timed(exact.value[:bits], exact.cycle)
        minus = line.express(weight.cycle, ~weight.value[15], "minus_new_weight")
        placing = weight.cycle + _UNPACKING
        minus = Timed(line.at(minus, placing), placing)
        term = placed_word(line, m, weight, negative=minus, name="new_weight", cycle=placing)
        now = term.cycle
        minus = line.at(minus, now)
        term = Cat(minus.replicate(REMAINDER_LOG), term.value)[:bits]
        left = line.register(now, added(line.at(lower, now), term, negative=minus, bits=bits), "left")
        # A borrowed rounding's grid is finer.
        return self._unit(line, left.cycle, rounding, "remainder_rounding",
                          i=left.value << GRID - UNIT if self._parameters.borrows else left.value)

    def _unit(self, line: Timeline, cycle: int, parameters, name: str, **inputs) -> tuple[Timed, Timed]:
        """One of the units that may be borrowed."""
        borrowed = getattr(self, name) if self._parameters.borrows else None
        return line.unit(cycle, parameters, name, borrowed=borrowed, **inputs)
