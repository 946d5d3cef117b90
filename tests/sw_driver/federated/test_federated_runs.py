"""Federations in one process: the bits are those of plain training, whatever the order, twice the same."""

import numpy as np
import pytest

import autapse as ap
from autapse.sw_driver.federated.exact import join
from autapse.sw_driver.federated.hub import STATE, Global, Hub
from autapse.sw_driver.federated.kept import Kept
from autapse.sw_driver.federated.local import LocalGrid
from autapse.sw_driver.federated.run import Plan, compare, devices_for, federate
from autapse.sw_driver.federated.wire import pack
from federations import TRAINING, network, settings, write_data


def digest(changes=None, **plan):
    made = settings(**changes or {})
    return federate(made, ["golden"] * made.workers, Plan(**plan)).digest


def test_one_worker_is_plain_training(tmp_path):
    made = settings(workers=1, rounds=3, local_epochs=2, remainders="stay", momenta="stay")
    federate(made, ["golden"], Plan(out=tmp_path))
    trainer = ap.Trainer(network(), ap.open("golden"), **TRAINING, seed=5)
    trainer.fit(ap.load_data("digits").first(90), epochs=6, progress=False)
    kept = ap.load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert np.array_equal(pack(kept.state, "weight").view(np.uint16), pack(trainer.state, "weight").view(np.uint16))
    assert kept.epoch == 6


def test_travelling_words_are_plain_training_too(tmp_path):
    made = settings(workers=1, rounds=3, remainders="travel", momenta="travel")
    federate(made, ["golden"], Plan(out=tmp_path))
    trainer = ap.Trainer(network(), ap.open("golden"), **TRAINING, seed=5)
    trainer.fit(ap.load_data("digits").first(90), epochs=3, progress=False)
    kept = ap.load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert all(a.same_bits(b) for a, b in zip(kept.state, trainer.state, strict=True))


@pytest.mark.parametrize("changes", [
    {}, {"strategy": "fedprox"}, {"strategy": "fedavgm"}, {"strategy": "trimmed", "trim": 0.34},
    {"strategy": "krum", "malicious": 0}, {"compress": "topk:0.05"}, {"compress": "difference"},
    {"remainders": "travel", "momenta": "travel"}, {"split": "dirichlet:0.5"},
])
def test_two_runs_have_the_same_bits_whatever_the_order(changes, tmp_path):
    one = digest(changes, out=tmp_path)
    made = settings(**changes)
    hub, grid = Hub(made), LocalGrid(made, ["golden"] * 3, jobs=3)
    plain = grid.send_and_receive
    grid.send_and_receive = lambda messages, timeout: plain(messages)[::-1]
    state = hub.run(grid)
    assert state.weight.tobytes() == Global.load(tmp_path / STATE)[0].weight.tobytes()
    assert one == digest(changes)
    if not changes:
        assert one != digest({"seed": 6})


def test_resuming_gives_the_same_bits(tmp_path):
    for changes in ({"momenta": "stay"}, {"compress": "topk:0.1"}, {"strategy": "fedavgm", "remainders": "travel"}):
        whole = digest(changes | {"rounds": 4})
        folder = tmp_path / changes.get("strategy", "") / changes.get("compress", "none")
        first = digest(changes | {"rounds": 2}, out=folder)
        assert first != whole == digest(changes | {"rounds": 4}, out=folder, resume=True)


def test_what_stays_with_a_worker_is_of_one_federation_and_survives_a_latecomer(tmp_path):
    def put(owner, round_):
        Kept(None, tmp_path, owner).put(round_, {"remainder": np.full(3, round_, np.float16)})

    for round_ in (1, 2, 3):
        put("aa-worker-1", round_)
    put("aa-worker-1", 2)  # a process that was given up writes late
    put("bb-worker-1", 9)
    assert Kept(None, tmp_path, "aa-worker-1").load(before=4).vectors["remainder"].tolist() == [3, 3, 3]
    assert Kept(None, tmp_path, "aa-worker-1").load(before=3).round == 2
    assert Kept(None, tmp_path, "aa-worker-1").load(before=2).round == 0, "older ones are gone"
    assert Kept(None, tmp_path, "bb-worker-1").load(before=9).vectors == {}


def test_one_hub_at_a_time(tmp_path):
    made = settings()
    hubs = []

    def second(record):
        with pytest.raises(ap.AutapseError, match="another hub is at work in"):
            Hub(made, out=tmp_path).run(LocalGrid(made, ["golden"] * 3))
        hubs.append(record["round"])

    Hub(made, out=tmp_path, on_round=second).run(LocalGrid(made, ["golden"] * 3))
    assert hubs == [0, 1, 2]


def test_fedprox_holds_workers_near_the_global_weights():
    def moved(**changes):
        made = settings(rounds=1, local_epochs=3, **changes)
        record = federate(made, ["golden"] * 3, Plan()).records[-1]
        return np.mean([entry["norm"] for entry in record["workers"].values()])

    free = moved()
    assert moved(strategy="fedprox", proximal_mu=1e-6) == pytest.approx(free, rel=0.05)
    assert moved(strategy="fedprox", proximal_mu=0.05) < 0.8 * free
    assert moved(strategy="fedprox", proximal_mu=10.0) < 0.1 * free


def test_trimmed_and_krum_are_what_they_say(tmp_path):
    for strategy in ("fedavg", "trimmed", "krum"):
        made = settings(rounds=1, strategy=strategy, trim=0.34, malicious=0)
        hub = Hub(made)
        proposals = []

        def watched(round_, updates, x, *, original=hub._rule.combine, seen=proposals):
            seen += updates
            return original(round_, updates, x)

        hub._rule.combine = watched
        weight = hub.run(LocalGrid(made, ["golden"] * 3)).weight
        stack = np.stack([update.x for update in proposals])
        if strategy == "trimmed":
            assert np.array_equal(weight, np.median(stack, axis=0).astype(np.float16))
        elif strategy == "krum":
            assert any(np.array_equal(weight, each.astype(np.float16)) for each in stack)
        else:
            assert np.array_equal(weight, stack.mean(axis=0).astype(np.float16)), "90 samples, 30 each"


def test_topk_sends_much_less_and_loses_nothing_for_good():
    whole = federate(settings(rounds=6), ["golden"] * 3, Plan())
    made = settings(rounds=6, compress="topk:0.05")
    hub = Hub(made)
    state = hub.run(LocalGrid(made, ["golden"] * 3))
    assert sum(sum(record["up"].values()) for record in state.records) < 0.7 * whole.total("up")
    # What the workers have and what the hub has differ by what top-k still holds back.
    assert state.sent.tobytes() != state.weight.tobytes()
    assert np.abs(join(state.weight, None) - join(state.sent, None)).max() < 0.5


def test_bytes_are_those_of_the_messages():
    result = federate(settings(rounds=1), ["golden"] * 3, Plan())
    size = 2 * network().synapses
    for way in ("up", "down"):
        assert all(size < count < size + 2000 for count in result.records[1][way].values())
    both = federate(settings(rounds=1, remainders="travel", momenta="travel"), ["golden"] * 3, Plan())
    assert both.total("up") > 2.5 * result.total("up")


# The chip of another test, so that it is compiled once for both.
CHIP = ("sim:lanes=2,units=1,gradient=batch,layers=4,events=16,synapses=1024,parameters=32,neurons=32,spike_rows=256,"
        "mask_rows=128,membrane_rows=128,error_rows=1024,history_words=128,active_words=64,readouts=8,error_inputs=8,"
        "sum_bits=52,product_bits=92")


def test_five_simulated_chips_are_five_golden_workers(tmp_path):
    data = write_data(tmp_path / "data.npz")
    made = settings(network=network(sizes=(6, 5, 3), steps=4).as_dict(), data=data, limit=None, workers=5, rounds=1,
                    training=TRAINING | {"batch": 3}, remainders="travel", momenta="travel", score_workers=False)
    golden = federate(made, ["golden"] * 5, Plan())
    chips = federate(made, [CHIP] * 5, Plan())
    assert chips.digest == golden.digest
    assert len(chips.records[-1]["workers"]) == 5 and not chips.incidents()
    one = federate(made, [CHIP, *["golden"] * 4], Plan())
    assert one.digest == golden.digest


def test_comparison_and_devices():
    made = settings(rounds=2)
    found = compare(made)
    trainer = ap.Trainer(network(), ap.open("golden"), **TRAINING, seed=5)
    trainer.fit(ap.load_data("digits").first(90), epochs=2, progress=False)
    assert found["one_device"] == trainer.history[-1]["test_accuracy"]
    assert len(found["alone"]) == 3 and found["epochs"] == 2
    assert devices_for(["sim"], 3) == ["sim"] * 3
    with pytest.raises(ap.SpecError, match="2 devices were named for 3 workers"):
        devices_for(["sim", "golden"], 3)
