"""The trainer against the golden model driven by hand, and what it does when things go wrong."""

import logging

import numpy as np
import pytest

import autapse as ap
from autapse.sw_driver.loss import Loss
from autapse.sw_driver.trainer import Callback, cut, order_of
from autapse.verification.golden.model import Golden, Layer, Rules
from devices_for_tests import Overflowing

SEED = 33
ORDER = [2, 3, 4, 1, 0]  # of five samples, seed 2: a changed generator cannot go unnoticed


def make_net(**changes):
    return ap.Network([ap.Linear(8, 13), ap.LIF(threshold=0.5), ap.Linear(13, 3), ap.LI()], **{"steps": 4} | changes)


def make_data(count=30):
    rng = np.random.default_rng(SEED)
    print(f"seed {SEED}")
    labels = rng.integers(0, 3, count)
    chance = np.where(np.arange(8) % 3 == labels[:, None], 0.9, 0.1)
    return (rng.random((count, 4, 8)) < chance[:, None]).astype(np.uint8), labels


def by_hand(net, data, *, epochs, batch, skip=()):
    """The same run with no trainer: one golden model and its own calls."""
    layers = [Layer(inputs=s.inputs, outputs=s.outputs, bias=s.bias, decay=s.decay, threshold=s.threshold,
                    half_width=s.half_width, soft=False, spiking=s.spiking) for s in net.layers]
    golden = Golden(layers, Rules(steps=net.steps, loss_scale=128.0))
    golden.set_state({f"{i}.{kind}": getattr(layer, kind) for i, layer in enumerate(net.initial_state(5))
                      for kind in ("weight", "bias")})
    done = 0
    for epoch in range(epochs):
        for chosen in cut(order_of(len(data[1]), seed=5, epoch=epoch), batch):
            y = golden.forward(data[0][chosen], keep=True).y
            golden.backward(golden.loss_error(y, np.eye(3, dtype=np.float16)[data[1][chosen]]))
            if done in skip:
                golden.clear_gradient()
            else:
                golden.update(len(chosen), 0.25, 0.5)
            done += 1
    return golden.get_state()


@pytest.mark.parametrize("skip", [(), (1, 5)])
def test_the_bits_are_those_of_the_golden_model(skip, caplog):
    net, data = make_net(), make_data()
    trainer = ap.Trainer(net, Overflowing(batches=skip), learning_rate=0.25, momentum=0.5, batch=7, loss_scale=128.0,
                         seed=5)
    with caplog.at_level(logging.WARNING, "autapse"):
        history = trainer.fit(data, epochs=2, progress=False)
    want = by_hand(net, data, epochs=2, batch=7, skip=skip)
    for index, layer in enumerate(trainer.state):
        for name, key in (("weight", "weight"), ("remainder", "weight_remainder"), ("bias_momentum", "bias_momentum")):
            mine, theirs = getattr(layer, name), want[f"{index}.{key}"]
            assert np.array_equal(mine.view(np.uint16), theirs.view(np.uint16))
    assert [entry["skipped"] for entry in history] == ([1, 1] if skip else [0, 0])
    assert ("overflowed binary16 and were skipped; lower the loss scale (now 128)" in caplog.text) == bool(skip)


def test_it_learns():
    trainer = ap.Trainer(make_net(), ap.open("golden"), learning_rate=0.5, batch=6, seed=1)
    data = make_data(90)
    before = trainer.evaluate(data).accuracy
    trainer.fit(data, epochs=5, progress=False)
    assert trainer.evaluate(data).accuracy > max(0.9, before)


def test_evaluation_counts_and_ties_go_to_the_lowest_class():
    trainer = ap.Trainer(make_net(), ap.open("golden"))
    spikes = np.zeros((5, 4, 8), np.uint8)
    zero = [ap.LayerState.fresh(layer.weight * 0, layer.bias * 0) for layer in trainer.state]
    trainer = ap.Trainer(make_net(), ap.open("golden"), state=zero)
    scored = trainer.evaluate((spikes, np.array([0, 0, 1, 2, 2])))
    assert scored.predictions.tolist() == [0] * 5
    assert scored.confusion.tolist() == [[2, 0, 0], [1, 0, 0], [2, 0, 0]]
    assert scored.accuracy == 2 / 5


def test_every_epoch_takes_every_sample_once_in_another_order():
    orders = [order_of(23, seed=2, epoch=epoch) for epoch in range(3)]
    assert all(sorted(order.tolist()) == list(range(23)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 3
    assert order_of(5, seed=2, epoch=0).tolist() == ORDER
    assert [len(part) for part in cut(orders[0], 10)] == [10, 10, 3]


class StopIn(Callback):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch, batch):
        self.at = epoch, batch

    def on_batch(self, trainer, step):
        if (step.epoch, step.batch) == self.at:
            raise KeyboardInterrupt


def test_an_interrupt_keeps_the_last_complete_epoch(tmp_path):
    data, path = make_data(), tmp_path / "run"
    broken = ap.Trainer(make_net(), ap.open("golden"), batch=7, seed=5)
    with pytest.raises(ap.Interrupted) as caught:
        broken.fit(data, epochs=4, progress=False, checkpoint=path, callbacks=[StopIn(2, 1)])
    assert str(caught.value) == f"interrupted in epoch 3; 2 complete epochs are kept in {path}"
    straight = ap.Trainer(make_net(), ap.open("golden"), batch=7, seed=5)
    straight.fit(data, epochs=2, progress=False)
    kept = ap.load_checkpoint(path)
    assert kept.epoch == 2 and all(a.same_bits(b) for a, b in zip(kept.state, straight.state, strict=True))
    # The same trainer goes on from there too, although its device had begun the third epoch.
    broken.fit(data, epochs=1, progress=False)
    straight.fit(data, epochs=1, progress=False)
    assert all(a.same_bits(b) for a, b in zip(broken.state, straight.state, strict=True))


@pytest.mark.parametrize(("data", "sentence"), [
    ((np.zeros((2, 4, 7), np.uint8), [0, 1]), "training data has 7 inputs, the network 8"),
    ((np.zeros((2, 5, 8), np.uint8), [0, 1]), "training data has 5 steps per sample, the network 4; set steps to 5"),
    ((np.zeros((2, 4, 8), np.uint8), [0, 3]),
     "sample 1 of training data has label 3, but the network has classes 0 to 2"),
    (np.zeros(3), "training data must be Data, a SpikeSet or a pair (spikes, labels), not ndarray"),
])
def test_data_that_does_not_fit(data, sentence):
    with pytest.raises(ap.DataError) as caught:
        ap.Trainer(make_net(), ap.open("golden")).fit(data, epochs=1, progress=False)
    assert str(caught.value) == sentence


def test_cross_entropy_is_rounded_once():
    net = make_net()
    loss = Loss(net, ap.TrainingSpec(loss="cross_entropy", loss_scale=512.0))
    readout = np.array([3 << 24, -(1 << 23), 12345], np.int64)
    error = loss.request(np.array([2, 1]))["error"](readout, 1)
    logits = readout * 2.0**-24 / 4
    slope = np.exp(logits) / np.exp(logits).sum() - [0, 1, 0]
    assert error.dtype == np.float16 and error.tolist() == (slope * 512 / 4).astype(np.float16).tolist()
    assert loss.total(readout[None], np.array([0])) == pytest.approx(-np.log(slope[0]))


def test_devices_are_used_in_order():
    device = ap.open("golden")
    with pytest.raises(ap.DeviceError, match="golden has no program"):
        device.infer(np.zeros((1, 4, 8), np.uint8))
    device.load(make_net(), None)
    with pytest.raises(ap.DeviceError, match="loaded for inference"):
        device.accumulate(np.zeros((1, 4, 8), np.uint8), targets=np.zeros((1, 3), np.float16))
    device.load(make_net(), ap.TrainingSpec())
    with pytest.raises(ap.DeviceError, match="follows no accumulate"):
        device.update(samples=1, learning_rate=0.1, momentum=0.9)
    with pytest.raises(ap.DataError, match="spikes must be 0 or 1, not 2"):
        device.infer(np.full((1, 4, 8), 2, np.uint8))


@pytest.mark.parametrize(("name", "part"), [
    ("sumulator", "there is no device 'sumulator'; known are golden, sim"),
    ("golden:abacus", "PyTorch has no device 'abacus' here"),
    ("golden:cpu,cpu", "has two arguments, 'cpu' and 'cpu'"),
    ("golden:lanes=3", "device 'golden' has no option 'lanes'"),
])
def test_unknown_devices(name, part):
    with pytest.raises(ap.DeviceError) as caught:
        ap.open(name)
    assert part in str(caught.value)
