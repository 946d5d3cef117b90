"""What a worker sends is looked at: the bad is refused, the worker named, the others go on."""

import numpy as np
import pytest

from autapse.sw_driver.federated import client
from autapse.sw_driver.federated.hub import Hub
from autapse.sw_driver.federated.local import LocalGrid
from federations import settings

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


def test_damaged_change_is_refused():
    def damage(content):
        return changed(content, change=next(iter(content.array_records.values()))["change"].numpy()[:-3])

    state = run(damage, compress="topk:0.1")
    assert "damaged change" in state.records[1]["refused"][0]["why"]


def test_random_weights_pass_only_where_the_guard_is_off():
    assert run(random_weights, guard=0.0, rounds=1).records[1]["refused"] == []


def test_two_that_say_they_are_one():
    state = run(lambda content: with_metric(content, "worker", 0), first=2)
    assert state.records[2]["refused"][0]["name"] == "worker 1"
    assert state.records[2]["refused"][0]["why"] == "it says it is worker 0"
    both = run(lambda content: with_metric(content, "worker", 0), rounds=1)
    assert {entry["why"] for entry in both.records[1]["refused"]} == {"more than one node says it is worker 0"}


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


def test_too_slow_gives_up_and_says_so():
    state = Hub(settings(timeout=0.001))
    with pytest.raises(Exception, match="no worker could train: worker 0: too slow: 1 of"):
        state.run(LocalGrid(settings(timeout=0.001), ["golden"] * 3))


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
