"""`autapse map`: tables, JSON, picture, and one sentence for each refusal."""

import json

import pytest

from autapse.cli import run

SIZES = "40-24-10"
QUICK = ["map", SIZES, "--mesh", "3x1", "--batch", "4", "--steps", "3"]


def refusal(capsys, *arguments) -> str:
    assert run(["map", *arguments]) == 2
    caught = capsys.readouterr()
    assert not caught.out
    assert caught.err.count("\n") == 1
    return caught.err


def test_what_is_where_is_printed(capsys):
    assert run([*QUICK, "--place", "serpentine"]) == 0
    text = capsys.readouterr().out
    for piece in ("40-24-10 on 3x1 cores of 8 lanes and 2 units", "assumed: 15 % spikes", "cuts (layer: neurons)",
                  "serpentine *", "annealed", "cycles per sample", "one core alone", "fullest links"):
        assert piece in text, piece


def test_json_holds_the_whole_mapping(tmp_path, capsys):
    file = tmp_path / "new" / "map.json"
    assert run([*QUICK, "--json", str(file), "--quiet"]) == 0
    assert not capsys.readouterr().out
    found = json.loads(file.read_text())
    assert found["mesh"] == [3, 1]
    assert {(cut["layer"], cut["last"] - cut["first"]) for cut in found["cuts"]} >= {(0, 8)}
    assert sum(cut["last"] - cut["first"] for cut in found["cuts"] if cut["layer"] == 0) == 24
    assert len(found["memory"]) == 3 and len(found["links"]) == 4
    assert set(found["costs"]) == {"even", "row-major", "serpentine", "random", "annealed"}
    assert found["placement"] == "even"
    assert found["cycles"]["batch"] == pytest.approx(4 * found["cycles"]["sample"])
    again = tmp_path / "again.json"
    assert run([*QUICK, "--json", str(again), "--quiet"]) == 0
    assert json.loads(again.read_text()) == found


def test_what_train_would_do_is_what_is_shown(tmp_path):
    from autapse.sw_driver.compile.methods import METHODS, plan_by
    from autapse.sw_driver.network import LI, LIF, Linear, Network, TrainingSpec

    network = Network([Linear(40, 24), LIF(), Linear(24, 10), LI()], steps=3)
    shown = {}
    for method in METHODS:
        file = tmp_path / f"{method}.json"
        assert run([*QUICK, "--mesh", "3x2", "--lanes", "4", "--place", method, "--json", str(file), "--quiet"]) == 0
        shown[method] = [(cut["layer"], cut["first"], cut["last"], cut["core"])
                         for cut in json.loads(file.read_text())["cuts"]]
        plan = plan_by(method, network, TrainingSpec(batch=4), mesh_width=3, mesh_height=2, lanes=4)
        assert shown[method] == [(cut.layer, cut.first, cut.last, cut.core) for cut in plan.cuts], method
    assert shown["even"] != shown["row-major"]


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_mesh_is_drawn(tmp_path, kind):
    pytest.importorskip("matplotlib")
    file = tmp_path / f"map.{kind}"
    assert run([*QUICK, "--plot", str(file), "--quiet"]) == 0
    content = file.read_bytes()
    assert content.startswith(b"\x89PNG" if kind == "png" else b"<?xml")
    if kind == "svg":
        assert run([*QUICK, "--plot", str(file), "--quiet"]) == 0
        assert file.read_bytes() == content, "the same mapping gave another picture"


def test_work_can_be_measured_on_data(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    file = tmp_path / "map.json"
    assert run(["map", "64-24-10", "--mesh", "2x1", "--batch", "3", "--steps", "3", "--data", "digits", "--quiet",
                "--json", str(file)]) == 0
    found = json.loads(file.read_text())["activity"]
    assert found["source"] == "measured: 3 samples of digits, initial weights of seed 0"
    assert 0.1 < found["spikes"][0] < 0.6


def test_a_toml_file_is_a_network(tmp_path):
    file = tmp_path / "net.toml"
    file.write_text("steps = 3\n[[layers]]\ninputs = 12\noutputs = 9\n[[layers]]\ninputs = 9\noutputs = 4\n")
    assert run(["map", str(file), "--mesh", "1x2", "--lanes", "4", "--quiet"]) == 0


REFUSED = [
    ([SIZES, "--mesh", "0x4"], "a mesh has from 1 to 20 cores, 0x4 is 0"),
    ([SIZES, "--mesh", "5x5"], "a mesh has from 1 to 20 cores, 5x5 is 25"),
    ([SIZES, "--mesh", "five"], "a mesh is columns x rows, such as 5x4, not 'five'"),
    ([SIZES, "--place", "anealed"], "there is no placement 'anealed', did you mean 'annealed'; there are even, row-m"),
    ([SIZES, "--lanes", "6"], "--lanes must be a power of two from 1 to 16, not 6"),
    ([SIZES, "--lanes", "32"], "--lanes must be a power of two from 1 to 16, not 32"),
    ([SIZES, "--lanes", "4", "--units", "8"], "--units must be a power of two from 1 to 4, not 8"),
    ([SIZES, "--spread", "wide"], "spread must be all or layers, not 'wide'"),
    ([SIZES, "--spread", "layers"], "spread 'layers' is of cuts by work, not of even ones; place them by row-major"),
    ([SIZES, "--synapses", "100", "--mesh", "2x1"], ("the even cuts of 40-24-10 need 416 rows of synapses at core 0, "
                                                     "it has 100, 316 too few; use more cores")),
    ([SIZES, "--place", "annealed", "--synapses", "100"], (
        "no cut of layer 0 of 40-24-10 fits: a core with one group of 8 of its neurons needs 160 rows of synapses, it "
        "has 100, 60 too few; use fewer inputs or cores with more synapses")),
    (["40-x-10"], "NET must be sizes such as 64-128-10, or a .toml or .py file, not '40-x-10'"),
    ([SIZES, "--plot", "map.txt"], "--plot must end in .svg, .png, .pdf, not 'map.txt'"),
    ([SIZES, "--data", "digits"], "data digits has 64 inputs, the network 40"),
]


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED)
def test_bad_input_is_one_sentence(capsys, arguments, sentence):
    assert sentence in refusal(capsys, *arguments)
