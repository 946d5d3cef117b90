"""Measurements as tables and pictures."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from autapse.sw_driver.errors import SpecError
from autapse.verification.bench import show

FOUND = {
    "title": "Speed of nothing", "settings": {"lanes": 8, "cycles": 1234567},
    "tables": [{"title": "first", "rows": [{"what": "one", "cycles": 98765432, "ratio": 1.0, "note": None},
                                           {"what": "another", "cycles": 3, "ratio": 0.00012345, "note": "odd"}]},
               {"title": "empty", "rows": []}],
    "charts": [{"title": "stacked", "unit": "cycles", "labels": ["one", "another"],
                "series": {"busy": [3, 4], "stalled": [1, None]}, "marks": {"bound": [3.5, None]}},
               {"title": "side by side", "unit": "s", "labels": ["x"], "stacked": False,
                "series": {"now": [2.0], "before": [1.0]}}],
    "notes": ["nothing was measured"],
}


def printed(found):
    out = io.StringIO()
    show.print_tables(found, Console(file=out, width=90))
    return out.getvalue()


@pytest.mark.parametrize("value, text", [
    (None, ""), (7, "7"), (1234567, "1,234,567"), (0.00012345, "0.0001234"), (2.0, "2"), (98765.4, "98,765"),
    ("word", "word"), (True, "True"), (-12345, "-12,345"),
])
def test_numbers_as_text(value, text):
    assert show.text_of(value) == text


def test_tables_show_all():
    text = printed(FOUND)
    lines = text.splitlines()
    assert lines[0] == "Speed of nothing"
    assert "  cycles: 1,234,567" in lines
    assert [line.split() for line in lines if line.startswith((" one", " another", "one", "another"))] == [
        ["one", "98,765,432", "1"], ["another", "3", "0.0001234", "odd"]]
    assert "empty" not in text
    assert lines[-1] == "- nothing was measured"


def test_a_plain_answer_is_shown_too():
    plain = {"title": "plain", "rows": [{"side": "a", "batch": 3, "speed": 2.5}, {"side": "b", "batch": 4, "speed": 1}],
             "baseline": "a", "sizes": [1, 2]}
    assert show.tables_of(plain) == [{"title": "rows", "rows": plain["rows"]}]
    assert show.charts_of(plain) == [{"title": "rows", "unit": "batch", "labels": ["a", "b"],
                                      "series": {"batch": [3, 4]}}]
    assert "2.5" in printed(plain)


@pytest.mark.parametrize("ending, start", [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_pictures(tmp_path, ending, start):
    pytest.importorskip("matplotlib")
    path = tmp_path / "new" / f"picture.{ending}"
    show.plot(FOUND, path)
    assert path.read_bytes().startswith(start)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_picture_names_all(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"svg.fonttype": "none"}):   # text stays text
        show.plot(FOUND, tmp_path / "p.svg")
    text = (tmp_path / "p.svg").read_text()
    for word in ("Speed of nothing", "stacked", "side by side", "busy", "stalled", "bound", "another", "before"):
        assert f">{word}</text>" in text, word


@pytest.mark.parametrize("name", ["picture", "picture.jpeg", "svg"])
def test_other_kinds_of_pictures_are_refused(name):
    with pytest.raises(SpecError, match=rf"^--plot must end in \.svg, \.png, \.pdf, not '{name}'$"):
        show.check_format(Path(name))


def test_nothing_to_draw_is_said(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(show.BenchError, match=r"^there is nothing to draw in what was measured$"):
        show.plot({"title": "t"}, tmp_path / "p.svg")
    assert list(tmp_path.iterdir()) == []
