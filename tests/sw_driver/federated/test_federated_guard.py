"""What a worker sends is looked at: the bad is refused, the worker named, the others go on."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import autapse as ap
from autapse.sw_driver.federated import client, worker
from autapse.sw_driver.federated.guard import Update, implausible
from autapse.sw_driver.federated.hub import Hub
from autapse.sw_driver.federated.local import LocalGrid
from autapse.sw_driver.federated.wire import encode_change
from federations import network, settings

from flwr.app import Array, ArrayRecord, Message, RecordDict  # isort: skip


def changed(content, **arrays):
    """The content with other arrays; None takes one away."""
    old, = content.array_records.values()
    merged = {name: array for name, array in ({key: value.numpy() for key, value in old.items()} | arrays).items()
              if array is not None}
    metrics, = content.metric_records.values()
    return RecordDict({"arrays": ArrayRecord({name: Array(np.asarray(array)) for name, array in merged.items()}),
                       "metrics": metrics})


def weights(content):
    return next(iter(content.array_records.values()))["weight"].numpy().copy()


def spoil(content, value, place=17):
    vector = weights(content)
    vector[place] = value
    return changed(content, weight=vector)


def random_weights(content):
    size = weights(content).size
    return changed(content, weight=np.random.default_rng(4).uniform(-1, 1, size).astype(np.float16))


def with_metric(content, name, value):
    metrics, = content.metric_records.values()
    metrics[name] = value
    return content


def junk(content):
    """An array whose bytes are none."""
    arrays, = content.array_records.values()
    arrays["weight"] = Array(dtype="float16", shape=(3,), stype="numpy.ndarray", data=b"no array at all")
    return content


FAULTS = {
    "nan": (lambda c: spoil(c, np.nan), "weight holds nan at 17"),
    "infinity": (lambda c: spoil(c, np.inf), "weight holds inf at 17"),
    "short": (lambda c: changed(c, weight=weights(c)[:-1]), "weight has shape"),
    "broadcastable": (lambda c: changed(c, weight=np.ones((1,), np.float16)), r"weight has shape \(1,\)"),
    "float64": (lambda c: changed(c, weight=weights(c).astype(np.float64)), "weight is float64, not float16"),
    "extra": (lambda c: changed(c, more=np.ones(3, np.float16)), "its arrays are more, weight, not weight"),
    "missing": (lambda c: changed(c, weight=None, other=np.ones(3, np.float16)), "its arrays are other, not weight"),
    "no samples": (lambda c: with_metric(c, "num-examples", 0), "it trained on 0 samples"),
    "too many samples": (lambda c: with_metric(c, "num-examples", 1 << 40), "samples; from 1 to 16777216"),
    "half a sample": (lambda c: with_metric(c, "num-examples", 2.5), "it trained on 2.5 samples"),
    "samples not a number": (lambda c: with_metric(c, "num-examples", float("nan")), "it trained on nan samples"),
    "samples without end": (lambda c: with_metric(c, "num-examples", float("inf")), "it trained on inf samples"),
    "a metric more": (lambda c: with_metric(c, "mood", 1.0), "its metrics are accuracy, loss, mood, num-examples"),
    "junk": (lambda c: junk(c), "weight cannot be read: "),
    "random": (random_weights, "times the median"),
}


def run(fault, *, worker=1, rounds=2, first=1, **changes):
    """A federation of three whose `worker` sends what `fault` makes of its answers from round `first` on."""
    made = settings(rounds=rounds, **changes)

    def answer(message, context):
        reply = client.app(message, context)
        round_ = message.content.config_records["config"]["server-round"]
        if context.node_config["partition-id"] != worker or round_ < first:
            return reply
        return Message(fault(reply.content), reply_to=message)

    hub = Hub(made)
    state = hub.run(LocalGrid(made, ["golden"] * made.workers, client=answer))
    return state


@pytest.mark.parametrize("name", FAULTS)
def test_refused_and_named(name):
    import re
    fault, sentence = FAULTS[name]
    state = run(fault)
    for record in state.records[1:]:
        refusal, = record["refused"]
        assert refusal["name"] == "worker 1" and refusal["worker"] == 1
        assert re.search(sentence, refusal["why"]), refusal["why"]
        assert sorted(record["workers"]) == ["0", "2"] and not record["dropped"]
    assert np.isfinite(state.weight).all()


@pytest.mark.parametrize("who", [float("nan"), float("inf"), 1.0, -1, 3])
def test_who_says_to_be_nobody_is_refused(who):
    state = run(lambda content: with_metric(content, "worker", who))
    for record in state.records[1:]:
        refusal, = record["refused"]
        assert refusal["worker"] is None and refusal["name"].startswith("node ")
        assert refusal["why"] == f"there is no worker {who!r}"
        assert sorted(record["workers"]) == ["0", "2"]


def test_the_result_is_that_of_the_others():
    refused = run(FAULTS["nan"][0], rounds=1)
    absent = run(lambda content: RecordDict({}), rounds=1)
    assert absent.records[1]["refused"][0]["why"].startswith("an answer has one record of arrays")
    assert refused.weight.tobytes() == absent.weight.tobytes() != run(lambda content: content).weight.tobytes()


@pytest.mark.parametrize(("harm", "sentence"), [
    (lambda blob: blob[:-3], "damaged change"), (lambda blob: len(blob), "change is int, not bytes"),
    (lambda blob: encode_change(np.full(network().synapses, np.inf, np.float16)), "words that are not finite")])
def test_damaged_change_is_refused(harm, sentence):
    def damage(content):
        record, = content.config_records.values()
        record["change"] = harm(record["change"])
        return content

    state = run(damage, compress="topk:0.1")
    assert sentence in state.records[1]["refused"][0]["why"]


def test_random_weights_pass_only_where_the_guard_is_off():
    assert run(random_weights, guard=0.0, rounds=1).records[1]["refused"] == []


def test_two_that_say_they_are_one():
    state = run(lambda content: with_metric(content, "worker", 0), first=2)
    assert state.records[2]["refused"][0]["name"] == "worker 1"
    assert state.records[2]["refused"][0]["why"] == "it says it is worker 0"


def test_who_claims_a_number_that_is_taken_shuts_nobody_out():
    """Node 3 says from the start that it is worker 0, whom node 2 has said to be: node 2 goes on, node 3 is refused."""
    state = run(lambda content: with_metric(content, "worker", 0), rounds=3)
    for record in state.records[1:]:
        refusal, = record["refused"]
        assert (refusal["name"], refusal["why"]) == ("node 3", "it says it is worker 0, which another node is")
        assert sorted(record["workers"]) == ["0", "2"]


def test_with_registered_keys_it_does_not_matter_who_speaks_first():
    """The liar is node 2, the lower, so that without keys it is worker 1 and the honest one is refused."""
    made = settings(rounds=1)

    def answer(message, context):
        reply = client.app(message, context)
        lie = context.node_config["partition-id"] == 0
        return Message(with_metric(reply.content, "worker", 1), reply_to=message) if lie else reply

    def who(**options):
        record = Hub(made, **options).run(LocalGrid(made, ["golden"] * 3, client=answer)).records[1]
        refusal, = record["refused"]
        return refusal["name"], refusal["why"], sorted(record["workers"])

    assert who() == ("node 3", "it says it is worker 1, which another node is", ["1", "2"])
    assert who(nodes={2: 0, 3: 1, 4: 2}) == ("worker 0", "it says it is worker 1", ["1", "2"])
    assert who(nodes={3: 1, 4: 2, 9: 0}) == (
        "node 2", "it says it is worker 1, whose registered key is another", ["1", "2"])


def test_a_number_is_kept_over_a_restart_of_the_hub_and_passes_on_when_its_node_is_gone(tmp_path):
    made = settings(rounds=1)
    Hub(made, out=tmp_path).run(LocalGrid(made, ["golden"] * 3))
    made = settings(rounds=2)
    grid = LocalGrid(made, ["golden"] * 3)
    grid._contexts[1] = grid._contexts.pop(3)  # worker 1 is a new node, and the lowest

    def answer(message, context):
        reply = client.app(message, context)
        lie = context.node_config["partition-id"] == 1
        return Message(with_metric(reply.content, "worker", 0), reply_to=message) if lie else reply

    grid._client = answer
    state = Hub(made, out=tmp_path, resume=True).run(grid)
    refusal, = state.records[2]["refused"]
    assert (refusal["name"], refusal["why"]) == ("node 1", "it says it is worker 0, which another node is")
    made = settings(rounds=3)
    grid = LocalGrid(made, ["golden"] * 3)
    grid._contexts[77] = grid._contexts.pop(2)  # worker 0 was started again, under another number of Flower's
    state = Hub(made, out=tmp_path, resume=True).run(grid)
    assert sorted(state.records[3]["workers"]) == ["0", "1", "2"] and state.numbers[77] == 0 and 2 not in state.numbers


def test_an_exception_is_named_and_the_rest_goes_on(capsys):
    made = settings()
    grid = LocalGrid(made, ["golden", "golden", "nonsense"])
    state = Hub(made).run(grid)
    dropped, = state.records[1]["dropped"]
    assert dropped["name"] == "worker 2" and "there is no device 'nonsense'" in dropped["why"]
    assert sorted(state.records[2]["workers"]) == ["0", "1"]


def test_a_worker_that_lost_its_words_is_sent_all_of_them():
    made = settings(rounds=3, compress="topk:0.1")
    grid = LocalGrid(made, ["golden"] * 3)

    def answer(message, context):
        config = message.content.config_records["config"]
        if config["server-round"] == 2 and context.node_config["partition-id"] == 1:
            context.state = RecordDict()
        return client.app(message, context)

    grid._client = answer
    state = Hub(made).run(grid)
    assert "lacks the weights of round 1" in state.records[2]["dropped"][0]["why"]
    assert len(state.records[3]["workers"]) == 3
    assert state.records[3]["down"]["1"] > 1.5 * state.records[3]["down"]["0"]


def test_too_slow_gives_up_and_says_so(monkeypatch):
    """A second passes whenever a worker looks at the clock: 3.5 s are over after its fourth batch."""
    ticks = itertools.count()
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: float(next(ticks)), perf_counter=lambda: 0.0))
    made = settings(timeout=3.5)
    with pytest.raises(ap.AutapseError, match="no worker could train: worker 0: too slow: 4 of 5 batches of epoch 1 "
                                              r"after 3\.5 s; worker 1: too slow: 4 of"):
        Hub(made).run(LocalGrid(made, ["golden"] * 3))


def test_the_guard_knows_a_round_in_which_most_do_not_move():
    def update(worker, length):
        change = np.zeros(5)
        change[2] = length
        return Update(worker=worker, node=worker + 2, samples=1, x=change, change=change, momentum=None, metrics={})

    found = implausible([update(0, 0.0), update(1, 0.0), update(2, 0.25)], 3.0)
    assert found == {2: "its change has the norm 0.25, and the median is 0"}
    assert implausible([update(worker, 0.0) for worker in range(3)], 3.0) == {}


def test_a_device_that_breaks_is_opened_anew(monkeypatch, tmp_path):
    """A board whose cable fails in the second round takes part again in the third; one that will not open holds up
    nobody, and its lock is free at once."""
    now, opened = [0], []

    def board(name):
        if name == "board:gone":
            raise ap.DeviceError("board:gone is not there")
        opened.append(name)
        device, since = ap.open("golden"), now[0]
        load = device.load

        def fails(*given):
            if name == "board:zero" and since == 1 and now[0] > 1:
                raise ap.DeviceError("the cable is loose")
            return load(*given)

        device.load = fails
        return device

    def answer(message, context):
        now[0] = message.content.config_records["config"]["server-round"]
        return client.app(message, context)

    monkeypatch.setattr(client, "open_device", board)
    monkeypatch.setattr(client, "LOCK_WAIT", 0.0)
    monkeypatch.setattr(client.tempfile, "gettempdir", lambda: str(tmp_path))
    made = settings(rounds=3)
    try:
        state = Hub(made).run(LocalGrid(made, ["board:zero", "board:one", "board:gone"], client=answer))
    finally:
        client.POST.close()
    assert sorted(opened) == ["board:one", "board:zero", "board:zero"]  # Flower shuffles whom it asks
    assert {entry["why"] for record in state.records[1:] for entry in record["dropped"]} == {
        "board:gone is not there", "the cable is loose"}
    assert [sorted(record["workers"]) for record in state.records[1:]] == [["0", "1"], ["1"], ["0", "1"]]


@pytest.mark.parametrize("changes, least", [({"strategy": "trimmed", "trim": 0.34}, 3),
                                            ({"strategy": "krum", "malicious": 0}, 3)])
def test_a_rule_that_too_few_answer_changes_nothing(changes, least):
    """One of three is refused: what is left is no majority, and Flower's own rules would take it all the same."""
    state = run(FAULTS["nan"][0], rounds=2, first=2, **changes)
    alone = run(lambda content: content, rounds=1, **changes)
    assert state.weight.tobytes() == alone.weight.tobytes(), "round 2 changed nothing"
    assert state.records[2]["dropped"] == [{
        "worker": None, "node": "", "name": "the round",
        "why": f"2 updates are too few for {changes['strategy']} to outvote the false; it needs {least}"}]


def test_rounds_that_bring_nothing_end_it():
    made = settings(rounds=9)

    def answer(message, context):
        return Message(spoil(client.app(message, context).content, np.nan), reply_to=message)

    with pytest.raises(Exception, match="3 rounds in a row brought nothing: worker 0: weight holds nan at 17"):
        Hub(made).run(LocalGrid(made, ["golden"] * 3, client=answer))


def test_who_is_not_there_is_named():
    made = settings(rounds=1, min_workers=2)
    hub = Hub(made, wait=0.1)
    state = hub.run(LocalGrid(made, ["golden"] * 2))
    assert sorted(state.records[1]["workers"]) == ["0", "1"]
    assert state.records[1]["dropped"] == [
        {"worker": 2, "node": "", "name": "worker 2", "why": "is not connected"}]
