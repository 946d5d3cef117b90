"""A trace is enough to recompute a run: done here from the files alone."""

import json

import numpy as np
import pytest

import autapse as ap
from autapse.sw_driver.trace import TraceWriter
from autapse.verification.golden.model import Golden, Layer, Rules

SEED = 17


def make_run(folder, **changes):
    rng = np.random.default_rng(SEED)
    print(f"seed {SEED}")
    data = rng.integers(0, 2, (19, 3, 7)).astype(np.uint8), rng.integers(0, 4, 19)
    net = ap.Network([ap.Linear(7, 6, bias=False), ap.LIF(threshold=[0.25, 0.5, 0.25, 1, 0.5, 0.75], reset="soft"),
                      ap.Linear(6, 4), ap.LI(decay=0.75)], steps=3)
    trainer = ap.Trainer(net, ap.open("golden"), **{"learning_rate": 0.3, "batch": 8, "seed": 2, "target": 1.5,
                                                    "momentum_exponent": 5} | changes)
    trainer.fit(data, epochs=3, progress=False, callbacks=[TraceWriter(folder)])
    return trainer


def load(folder):
    return json.loads((folder / "config.json").read_text()), *(
        dict(np.load(folder / f"{name}.npz")) for name in ("initial", "final", "samples"))


def test_the_files_are_as_specified(tmp_path):
    make_run(tmp_path)
    config, initial, final, samples = load(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "final.npz", "initial.npz",
                                                                "samples.npz"]
    assert {"decay", "threshold", "half_width", "reset", "detach", "spiking", "strict"} <= set(config["layers"][0])
    assert {"steps", "learning_rate", "momentum", "momentum_exponent", "batch", "loss_scale", "loss"} <= set(config)
    assert (config["momentum_exponent"], config["loss"], config["layers"][1]["spiking"]) == (5, "mse", False)
    for weights in (initial, final):
        assert {key: (value.shape, value.dtype.name) for key, value in weights.items()} == {
            "w0": ((7, 6), "float16"), "w1": ((6, 4), "float16"), "b1": ((4,), "float16")}
    assert {key: (value.shape, value.dtype.name) for key, value in samples.items()} == {
        "spikes": ((57, 3, 7), "uint8"), "labels": ((57,), "int64"), "targets": ((57, 4), "float16"),
        "batch_start": ((9,), "int64"), "updated": ((9,), "uint8")}
    assert samples["batch_start"].tolist() == [0, 8, 16, 19, 27, 35, 38, 46, 54]
    assert set(samples["targets"][np.arange(57), samples["labels"]].tolist()) == {1.5}


def test_the_final_weights_follow_from_the_files(tmp_path):
    make_run(tmp_path)
    config, initial, final, samples = load(tmp_path)
    layers = [Layer(inputs=initial[f"w{i}"].shape[0], outputs=initial[f"w{i}"].shape[1], bias=f"b{i}" in initial,
                    decay=np.float16(layer["decay"]), threshold=np.float16(layer["threshold"]),
                    half_width=layer["half_width"], soft=layer["reset"] == "soft", detach=layer["detach"],
                    strict=layer["strict"], spiking=layer["spiking"]) for i, layer in enumerate(config["layers"])]
    golden = Golden(layers, Rules(steps=config["steps"], loss_scale=config["loss_scale"],
                                  momentum_exponent=config["momentum_exponent"]))
    names = {"w": "weight", "b": "bias"}
    golden.set_state({f"{key[1:]}.{names[key[0]]}": value for key, value in initial.items()})
    starts = samples["batch_start"].tolist()
    for start, stop, updated in zip(starts, [*starts[1:], len(samples["labels"])], samples["updated"], strict=True):
        y = golden.forward(samples["spikes"][start:stop], keep=True).y
        golden.backward(golden.loss_error(y, samples["targets"][start:stop]))
        if updated:
            golden.update(stop - start, config["learning_rate"], config["momentum"])
        else:
            golden.clear_gradient()
    state = golden.get_state()
    for key, value in final.items():
        assert np.array_equal(state[f"{key[1:]}.{names[key[0]]}"].view(np.uint16), value.view(np.uint16))
        assert not np.array_equal(value, initial[key])


def test_a_traced_data_set_can_be_trained_on(tmp_path):
    make_run(tmp_path)
    data = ap.load_data(f"npz:{tmp_path / 'samples.npz'}")
    assert (len(data.train), data.train.inputs, data.test) == (57, 7, None)


def test_a_resumed_run_is_refused(tmp_path):
    trainer = make_run(tmp_path / "one")
    trainer.save(tmp_path / "run")
    resumed = ap.Trainer.resume(tmp_path / "run", ap.open("golden"))
    with pytest.raises(ap.SpecError, match="only a run from the start can be traced"):
        resumed.fit(ap.load_data(f"npz:{tmp_path / 'one' / 'samples.npz'}"), epochs=1, progress=False,
                    callbacks=[TraceWriter(tmp_path / "two")])
    assert not (tmp_path / "two").exists()
