"""Checkpoints: resuming gives the same bits, damage is refused, nothing is left half-written."""

import numpy as np
import pytest

import autapse as ap
from autapse.sw_driver import files

SEED = 21


def make_data(count=37, *, inputs=9, steps=5, classes=3):
    rng = np.random.default_rng(SEED)
    print(f"seed {SEED}")
    labels = rng.integers(0, classes, count)
    spikes = rng.random((count, steps, inputs)) < 0.15 + 0.7 * (np.arange(inputs) % classes == labels[:, None])[:, None]
    return spikes.astype(np.uint8), labels


def make_net():
    return ap.Network([ap.Linear(9, 11), ap.LIF(decay=0.6, threshold=0.5), ap.Linear(11, 3, bias=False), ap.LI()],
                      steps=5)


def make_trainer(**changes):
    return ap.Trainer(make_net(), ap.open("golden"), **{"learning_rate": 0.25, "batch": 8, "seed": 4} | changes)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_two_and_two_epochs_are_four(tmp_path, loss):
    data = make_data()
    straight = make_trainer(loss=loss)
    straight.fit(data, epochs=4, progress=False)
    first = make_trainer(loss=loss)
    first.fit(data, epochs=2, progress=False, checkpoint=tmp_path / "run.safetensors")
    resumed = ap.Trainer.resume(tmp_path / "run.safetensors", ap.open("golden"))
    assert resumed.epoch == 2
    resumed.fit(data, epochs=2, progress=False)
    assert not first.state[0].same_bits(straight.state[0])
    assert all(a.same_bits(b) for a, b in zip(straight.state, resumed.state, strict=True))
    assert resumed.history == straight.history
    assert any(layer.remainder.any() and layer.momentum.any() for layer in resumed.state)
    for name, trainer in (("a", straight), ("b", resumed)):
        trainer.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_field_survives(tmp_path):
    trainer = make_trainer(loss_scale=64.0, momentum_exponent=3, target=0.75, other=-0.25, momentum=0.5)
    trainer.fit(make_data(), epochs=1, progress=False)
    trainer.save(tmp_path / "run")
    kept = ap.load_checkpoint(tmp_path / "run")
    assert (kept.network.as_dict(), kept.training) == (make_net().as_dict(), trainer.training)
    assert (kept.seed, kept.epoch, kept.target, kept.other) == (4, 1, 0.75, -0.25)
    assert kept.history == trainer.history and len(kept.history) == 1


def test_damage_is_refused(tmp_path):
    make_trainer().save(tmp_path / "run")
    raw = (tmp_path / "run").read_bytes()
    nan = bytearray(raw)
    nan[-2:] = b"\x00\x7e"
    cases = [b"", raw[:100], raw[:-1], raw.replace(b"\\\"steps\\\": 5", b"\\\"steps\\\": 0"),
             raw.replace(b"layers.0.bias\"", b"layers.9.bias\""), raw.replace(b"autapse", b"autopsy"), bytes(nan),
             raw.replace(b"\\\"format\\\": 1", b"\\\"format\\\": 7"), b"hello world, this is not a checkpoint"]
    for damaged in cases:
        assert damaged != raw
        (tmp_path / "run").write_bytes(damaged)
        with pytest.raises(ap.CheckpointError) as caught:
            ap.load_checkpoint(tmp_path / "run")
        assert str(tmp_path / "run") in str(caught.value)
    with pytest.raises(ap.CheckpointError, match=r"cannot read checkpoint .*nothing: No such file or directory"):
        ap.load_checkpoint(tmp_path / "nothing")


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "run"
    files.write_text(path, "old")

    def fail(file):
        file.write(b"ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write_whole(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
