"""The report: one file, well formed, loading nothing, with every part that was promised."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import autapse as ap
from autapse.sw_driver.data import RecordedSet
from autapse.sw_driver.devices.golden import GoldenDevice
from autapse.sw_driver.report import write_report

pytest.importorskip("matplotlib", reason="the report draws with matplotlib")
pytest.importorskip("jinja2", reason="the report is a jinja2 template")
VOID = {"meta", "link", "img", "br", "path", "use", "rect", "image", "hr"}


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.links, self.text = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.links += [value for key, value in attributes if key in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.links += [value for key, value in attributes if key in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        self.text.append(data)


class Counting(GoldenDevice):
    name = "counting"

    def counters(self):
        return {engine: {"busy": 4321 + i, "stalled": 5, "skipped": 900, "dense": 12000}
                for i, engine in enumerate(("forward", "backward", "gradient"))} | {"chip": {"cycles": 98765}}


def make_report(path, device, *, test=True):
    rng = np.random.default_rng(6)
    spikes, labels = rng.integers(0, 2, (20, 4, 6)).astype(np.uint8), rng.integers(0, 3, 20)
    data = ap.Data(name="a<b>&c", train=RecordedSet(spikes, labels),
                   test=RecordedSet(spikes[:7], labels[:7]) if test else None)
    net = ap.Network([ap.Linear(6, 5), ap.LIF(threshold=0.25), ap.Linear(5, 3), ap.LI()], steps=4)
    trainer = ap.Trainer(net, device, batch=8)
    trainer.fit(data, epochs=2, progress=False)
    before = trainer.state
    write_report(path, trainer, data, seconds=1.0)
    assert all(a.same_bits(b) for a, b in zip(before, device.read_state(), strict=True))
    return path.read_text()


@pytest.mark.parametrize("device", [Counting, GoldenDevice])
@pytest.mark.parametrize("test", [True, False])
def test_the_page(tmp_path, device, test):
    text = make_report(tmp_path / "report.html", device(), test=test)
    page = Page(text)
    assert page.open == []
    assert page.headings == ["Learning curve", "Spikes of one sample", "Use of the engines", "Confusion matrix",
                             "Network", "Settings"]
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not re.search(r"<script|url\(http|@import", text)
    assert "a&lt;b&gt;&amp;c" in text and "a<b>" not in text
    words = " ".join(page.text)
    assert ("98,765" in words) == (device is Counting)
    assert ("4,322" in words) == (device is Counting)
    assert ("has no clock" in words) == (device is GoldenDevice)
    assert ("7 test samples" in words) == test and ("20 training samples" in words) != test
    assert text.count("<svg") == (4 if device is Counting else 3)
