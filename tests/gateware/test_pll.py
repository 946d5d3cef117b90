"""Settings of phase-locked loops, against the ranges of the data sheets and the outputs they must make."""

import pytest

pytest.importorskip("amaranth")

from autapse.gateware.pll import Ecp5Pll, Ice40Pll, PllError, XilinxPll


@pytest.mark.parametrize("kind, source, wanted", [
    (Ecp5Pll, 25e6, 62.5e6), (Ecp5Pll, 100e6, 70e6), (Ecp5Pll, 48e6, 72e6), (Ecp5Pll, 50e6, 40e6),
    (Ecp5Pll, 12e6, 48e6), (Ice40Pll, 12e6, 16.5e6), (Ice40Pll, 12e6, 48e6), (XilinxPll, 100e6, 62.5e6),
    (XilinxPll, 200e6, 80e6)])
def test_settings_make_the_clock_within_all_ranges(kind, source, wanted):
    pll = kind(source, wanted)
    found = pll.compute()
    fed = source / found.divide * found.multiply
    oscillator = fed * found.output_divide if kind is Ecp5Pll else fed
    assert oscillator == pytest.approx(found.oscillator_hz, rel=1e-12)
    assert oscillator / found.output_divide == pytest.approx(found.output_hz, rel=1e-12)
    assert abs(found.output_hz - wanted) <= 0.01 * wanted
    assert pll.oscillator_range[0] <= oscillator <= pll.oscillator_range[1]
    assert pll.compare_range[0] <= source / found.divide <= pll.compare_range[1]


def test_exact_outputs_are_found_where_there_are_any():
    for megahertz in (37.5, 50, 62.5, 75, 100, 125):
        assert Ecp5Pll(25e6, megahertz * 1e6).compute().output_hz == megahertz * 1e6


def test_what_cannot_be_made_is_refused():
    with pytest.raises(PllError, match=r"no setting of a PLL of ECP5 makes 60 MHz of 25 MHz; the nearest is 62.500"):
        Ecp5Pll(25e6, 60e6).compute()
    with pytest.raises(PllError, match="takes 8 to 400 MHz, not 1 MHz"):
        Ecp5Pll(1e6, 60e6).compute()
