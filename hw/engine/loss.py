"""Mean squared error on the chip: a readout's exact sum over the steps becomes the error of every step."""

from dataclasses import dataclass
from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from ..neuron.alignment import GRID, HEADROOM, PLACING, added, placed_word
from ..neuron.checks import check_range, check_sum
from ..neuron.pipeline import Timed, Timeline, delay
from ..numeric.binary16 import UNIT, decode, encode, fields_of
from ..numeric.multiplication import Multiplication
from ..numeric.rounding import Rounding

__all__ = ["LossResult", "MeanSquaredError"]

# A signed 18x18 DSP block takes 17 bits of an unsigned limb, and the factor with three of its shifts already done.
_LIMB = 17
_FOLDED = 2
_DROP = 2 * UNIT - GRID  # bits of the product below the grid


class LossResult(NamedTuple):
    """The word g and whether one of the two roundings saturated."""

    error: int
    overflow: bool


@dataclass(frozen=True, kw_only=True)
class MeanSquaredError:
    """Gradient of the mean squared error of one class (design rules version 1 §2)::

        r = rnd(y·inverse_steps - target)      y exact, never rounded alone
        g = mul(gain, r)                       the same for every step

    with ``inverse_steps = rnd(1/T)`` and ``gain = rnd(2·S/(C·T))``.

    Parameters
    ----------
    width : int
        Bits of the readout y, which counts units of 2^-24.
    borrows : bool
        The gateware has no rounding and no product of its own (`MomentumDescent.lends`).

    Raises
    ------
    ValueError
        If ``width`` is not 18 to 128.
    """

    width: int = 52
    borrows: bool = False

    def __post_init__(self):
        check_range("MeanSquaredError width", self.width, least=_LIMB + 1, greatest=128)

    @property
    def rounding(self) -> Rounding:
        """Of the narrowed product less the target."""
        return Rounding(width=2 + HEADROOM + GRID, fraction=GRID)

    @property
    def product(self) -> Multiplication:
        """Of gain and residual."""
        return Multiplication()

    @property
    def borrowed_ports(self) -> dict[str, Member]:
        """Ports by which the unit borrows."""
        return {"o_exact": Out(signed(self.rounding.width)), "i_scaled": In(16),
                "i_scaled_overflow": In(1)} if self.borrows else {}

    @property
    def limbs(self) -> int:
        """Parts the readout is multiplied in, one DSP block each."""
        return -(-(self.width - 1) // _LIMB)

    @property
    def latency(self) -> int:
        """Cycles from an item to its result; one class per cycle may enter."""
        # Unpack, multiply, one addition per further limb, shift, narrow, subtract; round; multiply.
        return 2 + (self.limbs - 1) + 3 + self.rounding.latency + self.product.latency

    def compute(self, *, readout: int, inverse_steps: int, target: int, gain: int) -> LossResult:
        """The error in integers: ``readout`` in units of 2^-24, the rest binary16 words.

        Raises
        ------
        ValueError
            If a word is not finite binary16 or ``readout`` does not fit the width.
        """
        check_sum(readout, width=self.width)
        exact = readout * decode(inverse_steps) - (decode(target) << UNIT)
        residual, overflow = encode(exact, fraction=2 * UNIT)
        error, product_overflow = self.product.compute(gain, residual)
        return LossResult(error, overflow or product_overflow)

    def create(self) -> "MeanSquaredErrorUnit":
        """Gateware that gives ``compute`` of its inputs ``latency`` cycles later."""
        return MeanSquaredErrorUnit(self)


class MeanSquaredErrorUnit(wiring.Component):
    """Pipelined `MeanSquaredError`: one class per cycle, ``MeanSquaredError.latency`` cycles, no stall.

    All inputs of a class are sampled in the cycle ``i_valid`` is high, the output is valid with ``o_valid``.

    Parameters
    ----------
    parameters : MeanSquaredError
        Width of the readout.

    Members
    -------
    i_valid : :py:`In(1)`
        A class enters.
    i_readout : :py:`In(signed(width))`
        y, exact, in units of 2^-24.
    i_inverse_steps : :py:`In(16)`
        ``rnd(1/T)``.
    i_target : :py:`In(16)`
        The value wanted of ``y/T``.
    i_gain : :py:`In(16)`
        ``rnd(2·S/(C·T))``.
    o_valid : :py:`Out(1)`
        A result leaves.
    o_error : :py:`Out(16)`
        g.
    o_overflow : :py:`Out(1)`
        A rounding saturated; 0 without ``o_valid``.
    o_exact : :py:`Out(signed(w))`
        With ``borrows``: r before its rounding, as ``MeanSquaredError.rounding`` takes it.
    i_scaled, i_scaled_overflow : :py:`In(16)`, :py:`In(1)`
        With ``borrows``: ``mul(gain, rnd(o_exact))``, as late as a rounding and a product take, and its overflow.
    """

    i_valid: Signal
    i_readout: Signal
    i_inverse_steps: Signal
    i_target: Signal
    i_gain: Signal
    o_valid: Signal
    o_error: Signal
    o_overflow: Signal
    o_exact: Signal
    i_scaled: Signal
    i_scaled_overflow: Signal

    def __init__(self, parameters: MeanSquaredError):
        self._parameters = parameters
        super().__init__({
            **parameters.borrowed_ports,
            "i_valid": In(1), "i_readout": In(signed(parameters.width)), "i_inverse_steps": In(16),
            "i_target": In(16), "i_gain": In(16), "o_valid": Out(1), "o_error": Out(16), "o_overflow": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        p = self._parameters
        line = Timeline(m)
        sign, significand, shift = fields_of(m, self.i_inverse_steps)
        folded = Cat(significand << shift[:_FOLDED], Const(0, 1)).as_signed()
        factor = line.register(0, Mux(sign, -folded, folded)[: 12 + 3].as_signed(), "factor")
        readout = line.register(0, self.i_readout, "readout")
        scaled = self._scaled(line, readout, factor)

        total = self._placed(line, scaled, Timed(shift[_FOLDED:], 0))

        now = total.cycle
        minus = Timed(~self.i_target[15], 0)
        target = Timed(line.at(Timed(self.i_target, 0), now - PLACING), now - PLACING)
        negative = Timed(line.at(minus, now - PLACING), now - PLACING)
        target = placed_word(line, m, target, negative=negative, name="target")
        minus = line.at(negative, now)
        term = Cat(minus.replicate(GRID - UNIT), target.value)
        exact = line.register(now, added(total.value, term, negative=minus, bits=p.rounding.width), "exact")
        if p.borrows:
            m.d.comb += self.o_exact.eq(exact.value)
            error, overflow = Timed(self.i_scaled, p.latency), Timed(self.i_scaled_overflow, p.latency)
        else:
            residual, overflow = line.unit(now + 1, p.rounding, "residual_rounding", i=exact.value)
            now = residual.cycle
            gain = line.at(Timed(self.i_gain, 0), now)
            error, product_overflow = line.unit(now, p.product, "gain_product", a=gain, b=residual.value)
            overflow = line.either(overflow, product_overflow)

        valid = delay(m, self.i_valid, p.latency, name="valid", reset_less=False)
        assert error.cycle == p.latency
        line.finish(error, self.o_error, p.latency)
        m.d.comb += [self.o_valid.eq(valid), self.o_overflow.eq(valid & line.at(overflow, p.latency))]
        return m

    def _scaled(self, line: Timeline, readout: Timed, factor: Timed) -> Timed:
        """``readout · factor``, limb by limb from the least significant, one addition per cycle."""
        limbs = self._parameters.limbs
        now = readout.cycle
        parts = []
        for index in range(limbs):
            last = index == limbs - 1
            limb = readout.value[_LIMB * index :] if last else readout.value[_LIMB * index : _LIMB * (index + 1)]
            limb = (limb if last else Cat(limb, Const(0, 1))).as_signed()
            parts.append(line.register(now, limb * factor.value, f"part_{index}"))
        now += 1
        done = []
        carried = parts[0]
        for index, part in enumerate(parts[1:], 1):
            done.append(Timed(carried.value[:_LIMB], carried.cycle))
            upper = carried.value[_LIMB:].as_signed()
            carried = line.register(now, line.at(part, now) + upper, f"upper_{index}")
            now += 1
        whole = Cat(*(line.at(each, now) for each in done), carried.value).as_signed()
        return line.express(now, whole, "scaled")

    def _placed(self, line: Timeline, scaled: Timed, amount: Timed) -> Timed:
        """``scaled · 2^(4·amount)`` as `narrowed` would give it, in two cycles, without ever building the long word."""
        now = scaled.cycle
        shift = line.at(amount, now)
        value, beyond = scaled.value, Const(0, 1)
        value, beyond = _moved(line, value, beyond=beyond, taken=shift[2], step=16, low=0, keep=_DROP - 12)
        value, beyond = _moved(line, value, beyond=beyond, taken=shift[1], step=8, low=_DROP - 12, keep=_DROP - 4)
        value = line.register(now, value, "far")
        beyond = line.register(now, beyond, "beyond")
        last = line.at(amount, now + 1)[0]
        value, beyond = _moved(
            line, value.value, beyond=beyond.value, taken=last, step=4, low=_DROP - 4, keep=_DROP
        )
        sign = value[-1]
        bits = HEADROOM - 1 + GRID
        extended = Cat(value, sign.replicate(max(0, bits - len(value))))[:bits]
        # As in `narrowed`: a sign and its complement are 2^17 or more.
        return line.register(now + 1, Cat(extended, sign ^ beyond, sign).as_signed(), "total")


def _moved(
    line: Timeline, value: Value, *, beyond: Value, taken: Value, step: int, low: int, keep: int
) -> tuple[Value, Value]:
    """``value << step`` where taken, cut to the bits that later shifts can still bring into the result.

    ``value``'s last bit is bit ``low`` of a word in units of 2^-48. What falls below bit ``keep`` is made odd, what
    lies at 2^17 or above is dropped and sets ``beyond``.
    """
    # Named, since each bit is read in several places and an expression would be written out in each.
    moved = Mux(taken, Cat(Const(0, step), value), Cat(value, value[-1].replicate(step)))
    moved = line.express(0, moved, "moved").value
    sign = moved[-1]
    top = 2 * UNIT + HEADROOM - 1 - low
    upper = moved[top:-1]
    cut = Cat(moved[:top], sign) if len(upper) else moved
    odd = Cat(cut[keep - low] | cut[: keep - low].any(), cut[keep - low + 1 :])
    beyond = beyond | (upper != sign.replicate(len(upper))) if len(upper) else beyond
    return line.express(0, odd, "odd").value, line.express(0, beyond, "beyond").value
