"""Leaky integrate-and-fire, forward: an exact sum and the leak become membrane, spike, mask and the next leak."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..numeric.binary16 import UNIT, decode, encode
from ..numeric.multiplication import Multiplication
from ..numeric.rounding import Rounding
from .addition import Addition
from .alignment import GRID, HEADROOM, PLACING, added, narrowed, placed_word
from .checks import check_range, check_sum
from .pipeline import Timed, Timeline, delay, port_of

__all__ = ["ForwardResult", "LIFForward"]


class ForwardResult(NamedTuple):
    """What one step of one neuron gives: three words, two bits, and whether a rounding that counts saturated."""

    membrane: int
    spike: int
    mask: int
    leak: int
    overflow: bool


@dataclass(frozen=True, kw_only=True)
class LIFForward:
    """One step of leaky integrate-and-fire (design rules version 1 §2).

    With ``l = mul(λ, v[t-1])`` from the state memory, 0 where ``start``::

        u = rnd(l + sum)
        s = u ≥ θ          strict: u > θ
        m = |u - θ| < h    h = 2^half_width_log
        v = s ? 0 : u      soft: rnd(u - θ·s)
        leak = mul(λ, v)   the new state

    A layer that does not spike has s = m = 0 and v = u. The state is kept as the leak, not as v, so that the product
    is off the path between the sum and the spike. Results that are not selected raise no overflow; where ``last`` says
    that no step follows, neither does the new state.

    Parameters
    ----------
    width : int
        Bits of the exact sum: 52 from lanes that add binary16, 92 from lanes that add products.
    fraction : int, 24 to 60
        The sum's least bit weighs 2^-fraction.
    lends : bool
        The gateware lends its adder while no neuron is under way (`lent`).

    Raises
    ------
    ValueError
        If a parameter is outside its range.
    """

    width: int = 52
    fraction: int = UNIT
    lends: bool = False

    def __post_init__(self):
        check_range("LIFForward width", self.width, least=12, greatest=128)
        check_range("LIFForward fraction", self.fraction, least=UNIT, greatest=60)

    @property
    def rounding(self) -> Rounding:
        """Of leak and narrowed sum."""
        grid = min(self.fraction, GRID)
        return Rounding(width=2 + HEADROOM + grid, fraction=grid)

    @property
    def difference(self) -> Addition:
        """Of membrane and threshold, for the mask and the soft reset."""
        return Addition()

    @property
    def product(self) -> Multiplication:
        """Of decay and membrane."""
        return Multiplication()

    @property
    def lent(self) -> dict[str, Addition]:
        """What is lent, by the name of its port."""
        return {"difference": self.difference} if self.lends else {}

    @property
    def membrane_cycle(self) -> int:
        """Cycle in which u leaves its rounding: placing, adding, rounding."""
        return PLACING + 1 + self.rounding.latency

    @property
    def latency(self) -> int:
        """Cycles from an item to its results; one neuron per cycle may enter."""
        # After u: subtract θ, choose v, multiply.
        return self.membrane_cycle + self.difference.latency + 1 + self.product.latency

    def compute(
        self, *, sum: int, leak: int, start: bool, last: bool = False, decay: int, threshold: int, half_width_log: int,
        spiking: bool, soft: bool, strict: bool,
    ) -> ForwardResult:
        """The step in integers: ``sum`` in units of 2^-fraction, all else as on the ports.

        Raises
        ------
        ValueError
            If a word is not finite binary16, ``sum`` does not fit, or ``half_width_log`` is not -16 to 15.
        """
        check_sum(sum, width=self.width)
        check_range("half_width_log", half_width_log, least=-16, greatest=15)
        held = 0 if start else decode(leak)
        membrane, overflow = encode(sum + (held << self.fraction - UNIT), fraction=self.fraction)
        u, theta = decode(membrane), decode(threshold)
        spike = spiking and (u > theta if strict else u >= theta)
        mask = spiking and abs(u - theta) < 1 << UNIT + half_width_log
        state, state_overflow = membrane, False
        if spike:
            state, state_overflow = encode(u - theta) if soft else (0, False)
        new_leak, leak_overflow = self.product.compute(decay, state)
        overflow |= not last and (state_overflow or leak_overflow)
        return ForwardResult(membrane, int(spike), int(mask), new_leak, overflow)

    def create(self) -> "LIFForwardUnit":
        """Gateware that gives ``compute`` of its inputs ``latency`` cycles later."""
        return LIFForwardUnit(self)


class LIFForwardUnit(wiring.Component):
    """Pipelined `LIFForward`: one neuron per cycle, ``LIFForward.latency`` cycles, no stall.

    All inputs of a neuron are sampled in the cycle ``i_valid`` is high, all outputs are valid with ``o_valid``. Inside
    are a rounding for u, an adder for u - θ, which decides the mask and gives the soft reset, and a multiplier (a DSP).

    Parameters
    ----------
    parameters : LIFForward
        Format of the sum.

    Members
    -------
    i_valid : :py:`In(1)`
        A neuron enters.
    i_sum : :py:`In(signed(width))`
        Exact sum of weights, bias included, in units of 2^-fraction.
    i_leak : :py:`In(16)`
        ``mul(λ, v[t-1])``, the state that ``o_leak`` gave in the step before.
    i_start : :py:`In(1)`
        First step: the leak counts as 0.
    i_last : :py:`In(1)`
        Last step: the new state is not read again and raises no overflow.
    i_decay, i_threshold : :py:`In(16)`
        λ and θ.
    i_half_width_log : :py:`In(signed(6))`
        log2 of h, -16 to 15.
    i_spiking, i_soft, i_strict : :py:`In(1)`
        The layer spikes; soft reset; ``>`` in place of ``≥``.
    o_valid : :py:`Out(1)`
        Results of a neuron leave.
    o_membrane : :py:`Out(16)`
        u.
    o_spike, o_mask : :py:`Out(1)`
        s and m.
    o_leak : :py:`Out(16)`
        The new state.
    o_overflow : :py:`Out(1)`
        A rounding that counts saturated; 0 without ``o_valid``.
    i_lent : :py:`In(1)`
        With ``lends``: what is lent works for its port, and no neuron is under way.
    difference : :py:`Out(port_of(Addition()))`
        With ``lends``.
    """

    i_valid: Signal
    i_lent: Signal
    difference: Any
    i_sum: Signal
    i_leak: Signal
    i_start: Signal
    i_last: Signal
    i_decay: Signal
    i_threshold: Signal
    i_half_width_log: Signal
    i_spiking: Signal
    i_soft: Signal
    i_strict: Signal
    o_valid: Signal
    o_membrane: Signal
    o_spike: Signal
    o_mask: Signal
    o_leak: Signal
    o_overflow: Signal

    def __init__(self, parameters: LIFForward):
        self._parameters = parameters
        super().__init__({
            "i_valid": In(1), "i_sum": In(signed(parameters.width)), "i_leak": In(16), "i_start": In(1),
            "i_last": In(1), "i_decay": In(16), "i_threshold": In(16), "i_half_width_log": In(signed(6)),
            "i_spiking": In(1), "i_soft": In(1), "i_strict": In(1),
            "o_valid": Out(1), "o_membrane": Out(16), "o_spike": Out(1), "o_mask": Out(1), "o_leak": Out(16),
            "o_overflow": Out(1),
            **({"i_lent": In(1)} if parameters.lends else {}),
            **{name: Out(port_of(unit)) for name, unit in parameters.lent.items()},
        })

    def elaborate(self, platform):
        m = Module()
        p = self._parameters
        line = Timeline(m)
        threshold = Timed(self.i_threshold, 0)
        half_width_log = Timed(self.i_half_width_log, 0)
        spiking, soft, strict = (Timed(flag, 0) for flag in (self.i_spiking, self.i_soft, self.i_strict))

        total = line.register(0, narrowed(self.i_sum, fraction=p.fraction), "total")
        leak = line.express(0, Mux(self.i_start, 0, self.i_leak), "leak")
        leak_sign = Timed(leak.value[15], 0)
        leak_placed = placed_word(line, m, leak, negative=leak_sign, name="leak")
        grid = p.rounding.fraction
        exact = line.register(
            PLACING,
            added(
                line.at(total, PLACING),
                # Inverted low bits are ones, as the carry of `added` wants.
                Cat(line.at(leak_sign, PLACING).replicate(grid - UNIT), leak_placed.value),
                negative=line.at(leak_sign, PLACING),
                bits=p.rounding.width,
            ),
            "exact",
        )
        membrane, sum_overflow = line.unit(exact.cycle, p.rounding, "sum_rounding", i=exact.value)
        now = membrane.cycle
        assert now == p.membrane_cycle

        after, after_overflow, floor = self._difference(line, m, membrane, line.at(threshold, now))
        now = floor.cycle
        near = _below_power(floor.value, line.at(half_width_log, now))
        mask = line.register(now, near & line.at(spiking, now), "mask")

        # A difference of two words is never rounded to zero, so its sign is that of the exact one.
        now = after.cycle
        above = ~after.value[15] & (~line.at(strict, now) | after.value[:15].any())
        spike = line.express(now, above & line.at(spiking, now), "spike")
        state = Mux(spike.value, Mux(line.at(soft, now), after.value, 0), line.at(membrane, now))
        state = line.register(now, state, "state")
        new_leak, leak_overflow = line.unit(
            state.cycle, p.product, "leak_product", a=line.at(Timed(self.i_decay, 0), state.cycle), b=state.value
        )

        going_on = line.express(0, ~self.i_last, "going_on")
        overflow = line.either(
            sum_overflow, line.used(after_overflow, spike, soft, going_on), line.used(leak_overflow, going_on)
        )
        valid = delay(m, self.i_valid, p.latency, name="valid", reset_less=False)
        assert new_leak.cycle == p.latency
        line.finish(membrane, self.o_membrane, p.latency)
        line.finish(spike, self.o_spike, p.latency)
        line.finish(mask, self.o_mask, p.latency)
        line.finish(new_leak, self.o_leak, p.latency)
        m.d.comb += [self.o_valid.eq(valid), self.o_overflow.eq(valid & line.at(overflow, p.latency))]
        return m

    def _difference(self, line: Timeline, m: Module, u: Timed, theta: Value) -> tuple[Timed, Timed, Timed]:
        """``rnd(u - θ)``, its overflow, and the floor of |u - θ|, two cycles before them."""
        parameters = self._parameters.difference
        minus = Cat(theta[:15], ~theta[15])
        lent = (self.i_lent, self.difference) if self._parameters.lends else None
        word, overflow = line.unit(u.cycle, parameters, "difference", lent=lent, a=u.value, b=minus)
        return word, overflow, Timed(m.submodules.difference.o_floor, u.cycle + parameters.floor_latency)


def _below_power(floor: Value, log: Value) -> Value:
    """``|x| < 2^log``, ``log`` -16 to 15. Powers of two are binary16 numbers, so the floor of |x| decides."""
    exponent, fraction = floor[10:], floor[:10]
    subnormal = ~exponent.any() & Mux(log == -15, ~fraction[9], ~fraction[8:].any())
    return Mux(log < -14, subnormal, exponent < log + 15)
