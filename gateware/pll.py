"""Phase-locked loops of ECP5, iCE40 and 7 series: a calculator of their settings, and the block itself."""

from dataclasses import dataclass

from amaranth.hdl import Const, Instance, Signal

__all__ = ["PLLS", "Ecp5Pll", "Ice40Pll", "PllError", "PllSettings", "XilinxPll"]


class PllError(ValueError):
    """No settings make the clock asked for."""


@dataclass(frozen=True)
class PllSettings:
    """What a loop is set to: output = oscillator / output_divide, see the class for the oscillator."""

    divide: int
    multiply: int
    output_divide: int
    oscillator_hz: float
    output_hz: float


class _Pll:
    """A loop that makes `output_hz` of `input_hz`.

    Subclasses state the ranges, from data sheets: `input_range`, `compare_range` (of the phase detector),
    `oscillator_range` and `output_range` in Hz, and the dividers. Of settings with the same error those with the
    highest frequency at the phase detector are taken, as that gives the least jitter, then the highest oscillator's.

    Raises
    ------
    PllError
        From `compute` if nothing comes within `tolerance` of the output asked for.
    """

    family = ""
    input_range = compare_range = oscillator_range = output_range = (0.0, 0.0)

    def __init__(self, input_hz: float, output_hz: float, *, tolerance: float = 0.01):
        self.input_hz, self.output_hz, self.tolerance = float(input_hz), float(output_hz), tolerance

    def candidates(self):
        """Every (divide, multiply, output_divide, oscillator) worth a look."""
        raise NotImplementedError

    def compute(self) -> PllSettings:
        """The best settings."""
        if not self.input_range[0] <= self.input_hz <= self.input_range[1]:
            raise PllError(f"a PLL of {self.family} takes {_mhz(*self.input_range)}, not {self.input_hz / 1e6:g} MHz")
        best: tuple | None = None
        for divide, multiply, output_divide, oscillator in self.candidates():
            compare = self.input_hz / divide
            found = oscillator / output_divide
            inside = (self.compare_range[0] <= compare <= self.compare_range[1]
                      and self.oscillator_range[0] <= oscillator <= self.oscillator_range[1]
                      and self.output_range[0] <= found <= self.output_range[1])
            if not inside:
                continue
            rank = (round(abs(found - self.output_hz), 3), -compare, -oscillator)
            if best is None or rank < best[0]:
                best = rank, PllSettings(divide, multiply, output_divide, oscillator, found)
        if best is None or best[0][0] > self.tolerance * self.output_hz:
            near = "" if best is None else f"; the nearest is {best[1].output_hz / 1e6:.3f} MHz"
            raise PllError(f"no setting of a PLL of {self.family} makes {self.output_hz / 1e6:g} MHz of "
                           f"{self.input_hz / 1e6:g} MHz{near}")
        return best[1]

    def create(self, m, clock: Signal) -> tuple[Signal, Signal]:
        """Adds the loop to a module; (its clock, whether it has locked)."""
        raise NotImplementedError


class Ecp5Pll(_Pll):
    """EHXPLLL with its first output fed back: VCO = input / divide · multiply · output_divide."""

    family = "ECP5"
    input_range, compare_range = (8e6, 400e6), (10e6, 400e6)
    oscillator_range, output_range = (400e6, 800e6), (3.125e6, 400e6)

    def candidates(self):
        for divide in range(1, 129):
            if self.input_hz / divide < self.compare_range[0]:
                break
            near = round(self.output_hz * divide / self.input_hz)
            for multiply in range(max(near - 1, 1), min(near + 2, 81)):
                output = self.input_hz / divide * multiply
                for output_divide in range(1, 129):
                    yield divide, multiply, output_divide, output * output_divide

    def create(self, m, clock):
        found, out, locked = self.compute(), Signal(name="pll_clock"), Signal(name="pll_locked")
        m.submodules.pll = Instance(
            "EHXPLLL",
            p_PLLRST_ENA="DISABLED", p_INTFB_WAKE="DISABLED", p_STDBY_ENABLE="DISABLED", p_DPHASE_SOURCE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA", p_CLKI_DIV=found.divide, p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=found.output_divide, p_CLKOP_CPHASE=found.output_divide - 1, p_CLKOP_FPHASE=0,
            p_FEEDBK_PATH="CLKOP", p_CLKFB_DIV=found.multiply,
            a_FREQUENCY_PIN_CLKI=f"{self.input_hz / 1e6:g}", a_FREQUENCY_PIN_CLKOP=f"{found.output_hz / 1e6:g}",
            a_ICP_CURRENT="12", a_LPF_RESISTOR="8",
            i_CLKI=clock, i_CLKFB=out, o_CLKOP=out, o_LOCK=locked, i_RST=Const(0), i_STDBY=Const(0),
            i_PHASESEL0=Const(0), i_PHASESEL1=Const(0), i_PHASEDIR=Const(0), i_PHASESTEP=Const(0),
            i_PHASELOADREG=Const(0), i_PLLWAKESYNC=Const(0), i_ENCLKOP=Const(0))
        return out, locked


class Ice40Pll(_Pll):
    """SB_PLL40_PAD, simple feedback: VCO = input / divide · multiply, output_divide a power of two."""

    family = "iCE40"
    input_range, compare_range = (10e6, 133e6), (10e6, 133e6)
    oscillator_range, output_range = (533e6, 1066e6), (16e6, 275e6)
    _FILTERS = ((17e6, 1), (26e6, 2), (44e6, 3), (66e6, 4), (101e6, 5))

    def candidates(self):
        for divide in range(1, 17):
            for power in range(1, 7):
                near = round(self.output_hz * divide * (1 << power) / self.input_hz)
                for multiply in range(max(near - 1, 1), min(near + 2, 129)):
                    yield divide, multiply, 1 << power, self.input_hz / divide * multiply

    def create(self, m, clock):
        found, out, locked = self.compute(), Signal(name="pll_clock"), Signal(name="pll_locked")
        compare = self.input_hz / found.divide
        m.submodules.pll = Instance(
            "SB_PLL40_PAD", p_FEEDBACK_PATH="SIMPLE", p_DIVR=Const(found.divide - 1, 4),
            p_DIVF=Const(found.multiply - 1, 7), p_DIVQ=Const(found.output_divide.bit_length() - 1, 3),
            p_FILTER_RANGE=Const(next((value for most, value in self._FILTERS if compare < most), 6), 3),
            i_PACKAGEPIN=clock, i_RESETB=Const(1), i_BYPASS=Const(0), o_PLLOUTGLOBAL=out, o_LOCK=locked)
        return out, locked


class XilinxPll(_Pll):
    """MMCME2_BASE: VCO = input / divide · multiply."""

    family = "7 series"
    input_range, compare_range = (10e6, 800e6), (10e6, 450e6)
    oscillator_range, output_range = (600e6, 1200e6), (4.69e6, 800e6)

    def candidates(self):
        for divide in range(1, 11):
            for multiply in range(2, 65):
                oscillator = self.input_hz / divide * multiply
                near = round(oscillator / self.output_hz)
                for output_divide in range(max(near - 1, 1), min(near + 2, 129)):
                    yield divide, multiply, output_divide, oscillator

    def create(self, m, clock):
        found, raw, out, back, locked = self.compute(), Signal(), Signal(name="pll_clock"), Signal(), Signal()
        m.submodules.pll = Instance(
            "MMCME2_BASE", p_CLKIN1_PERIOD=1e9 / self.input_hz, p_DIVCLK_DIVIDE=found.divide,
            p_CLKFBOUT_MULT_F=float(found.multiply), p_CLKOUT0_DIVIDE_F=float(found.output_divide),
            i_CLKIN1=clock, i_CLKFBIN=back, o_CLKFBOUT=back, o_CLKOUT0=raw, o_LOCKED=locked, i_RST=Const(0),
            i_PWRDWN=Const(0))
        m.submodules.pll_gate = Instance("BUFGCE", i_I=raw, i_CE=locked, o_O=out)
        return out, locked


PLLS: dict[str, type[_Pll]] = {"ecp5": Ecp5Pll, "ice40": Ice40Pll, "xilinx": XilinxPll}


def _mhz(low: float, high: float) -> str:
    return f"{low / 1e6:g} to {high / 1e6:g} MHz"
