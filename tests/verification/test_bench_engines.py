"""Cycles and bounds of the engines: the formula, and what is made of a chip's counters."""

from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs `pip install autapse[golden]`")
pytest.importorskip("sklearn", reason="the samples are scikit-learn's; `pip install autapse[data]`")

from autapse.sw_driver.devices.golden import open_golden
from autapse.sw_driver.network import LI, LIF, Linear, Network
from autapse.verification.bench import engines, measure, workloads


@dataclass
class Config:
    lanes: int = 8
    units: int = 2
    shared: bool = False
    slots: int = 2
    wide_rows: int = 0

    @property
    def beats(self):
        return self.lanes // self.units


BATCHES = [{"forward": 100, "backward": 30, "gradient": 7}, {"forward": 20, "backward": 50, "gradient": 60}]


@pytest.mark.parametrize("config, mode, cycles", [
    (Config(shared=True), engines.SEQUENTIAL, 100 + 30 + 7 + 20 + 50 + 60),
    (Config(slots=1), engines.SEQUENTIAL, 267),
    (Config(), engines.BATCH_END, 100 + 7 + 50 + 60),
    (Config(wide_rows=64), engines.RUNNING, 100 + 11 + 60 + 11),
])
def test_the_bound_is_the_longest_chain(config, mode, cycles):
    assert engines.mode_of(config) == mode
    assert engines.bound(mode, BATCHES, update=11) == cycles
    assert engines.bound(mode, [], update=11) == 0


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match=r"^mode must be one of the three, not 'fast'$"):
        engines.bound("fast", BATCHES, update=0)


def test_the_update_takes_every_weight_once():
    network = Network([Linear(5, 9), LIF(decay=0.5), Linear(9, 3, bias=False), LI(decay=0.5)], steps=4)
    assert engines.update_cycles(network, Config(lanes=8, units=2)) == (5 + 1) * 2 * 4 + 9 * 1 * 4
    assert engines.update_cycles(network, Config(lanes=2, units=2)) == (5 + 1) * 5 + 9 * 2


class Counting:
    """The golden model with counters that grow by known amounts."""

    def __init__(self):
        self._device, self._count, self.config = open_golden(None), 0, Config()

    def __getattr__(self, name):
        return getattr(self._device, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._device.close()

    def update(self, **rates):
        self._count += 1
        return self._device.update(**rates)

    def info(self):
        return {"name": "counting", "gradient": "late"}

    def counters(self):
        n = self._count
        return {"forward": {"busy": 100 * n, "skipped": 300 * n, "stalled": 10 * n, "dense": 400 * n},
                "backward": {"busy": 40 * n * n, "skipped": 60 * n, "stalled": 20 * n, "dense": 0},
                "gradient": {"busy": 50 * n, "skipped": 150 * n, "stalled": 0, "dense": 200 * n},
                "chip": {"cycles": 200 * n}}


def test_counters_become_figures(monkeypatch):
    opened = []
    monkeypatch.setattr(engines, "open_device", lambda name, **options: opened.append(name) or Counting())
    monkeypatch.setattr(engines, "mnist", lambda count, data: workloads.digits(33))
    found = measure("engines", quick=True, device="sim:lanes=8")
    assert opened == ["sim:lanes=8"] * 2
    assert [note for note in found["notes"] if note.startswith("digits: gradient")] == ["digits: gradient late"] * 2
    chip, single = found["tables"][0]["rows"]
    assert chip["mode"] == engines.BATCH_END
    # Two batches: backward busy 40, then 160 - 40 = 120, so the longer of forward and backward differs.
    assert (chip["samples"], chip["cycles"], chip["bound"]) == (64, 400, 100 + 50 + 120 + 50)
    assert chip["of bound"] == 400 / 320
    assert chip["overlap"] == (220 + 160 + 40 + 100) / 400
    # Dense: skipped is linear, so 400 forward; backward 100 and 180; gradient 200 in each batch.
    assert chip["dense"] == 2 * (400 + 200) / 400
    assert (single["samples"], single["cycles"]) == (33, 400)
    rows = {row["engine"]: row for row in found["tables"][1]["rows"][:3]}
    assert rows["forward"] == {"data": "digits", "engine": "forward", "busy": 200, "stalled": 20, "skipped": 600,
                               "dense": 800, "of busy": 220 / 200, "at work": 220 / 400, "speed-up": 800 / 220}
    assert rows["backward"]["busy"] == 160 and rows["gradient"]["stalled"] == 0
    assert [batch["backward"]["busy"] for batch in found["batches"]["digits"]] == [40, 120]


def test_without_mnist_digits_are_enlarged_and_called_so():
    load = workloads.mnist(5)
    assert load.data.startswith("not MNIST")
    spikes = load.samples.spikes(np.arange(5), workloads.STEPS)
    assert spikes.shape == (5, workloads.STEPS, 784)
    # The most intense pixels spike in every step; the edge of 4 pixels never does.
    count = spikes.sum(1).reshape(5, 28, 28)
    assert count[:, :4].sum() == count[:, -4:].sum() == count[:, :, :4].sum() == count[:, :, -4:].sum() == 0
    small = workloads.digits(5).samples.spikes(np.arange(5), workloads.STEPS).sum(1).reshape(5, 8, 8)
    # A row of 20 is 8 pixels, each 3 or 2 wide.
    widths = np.bincount(np.arange(20) * 8 // 20)
    assert np.array_equal(count[:, 4:-4, 4:-4].sum((1, 2)), (small * widths[:, None] * widths).sum((1, 2)))


def test_the_demo_is_what_the_demo_trains():
    import tomllib
    from pathlib import Path
    example = tomllib.loads((Path(__file__).parents[2] / "examples" / "digits.toml").read_text())
    assert workloads.digits(1).network.as_dict() == Network.from_dict(example).as_dict()
