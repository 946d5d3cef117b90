"""Flower's own processes: who has no certificate or key does not join; workers and hub fail, and training ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import autapse as ap
from autapse.sw_driver.federated import client, keys
from autapse.sw_driver.federated.hub import STATE, Global, Hub
from autapse.sw_driver.federated.local import LocalGrid
from autapse.sw_driver.federated.processes import Processes
from autapse.sw_driver.federated.run import Plan, federate
from federations import settings

from flwr.app import Array, ArrayRecord, Message, RecordDict  # isort: skip

# A ClientApp whose workers misbehave in the rounds of FAULTS, {worker: {round: fault}}; it leaves a file of each round
# that a worker begins.
FAULTY = '''
import time
from pathlib import Path
import numpy as np
from autapse.sw_driver.federated import client
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.clientapp import ClientApp

FAULTS = {faults}
app = ClientApp()


@app.train()
def train(message, context):
    round_, worker = message.content.config_records["config"]["server-round"], context.node_config["partition-id"]
    Path({out!r}, f"at-{{round_}}-{{worker}}").touch()
    fault = FAULTS.get(worker, {{}}).get(round_)
    if isinstance(fault, int):
        time.sleep(fault)
    reply = client.train(message, context)
    if fault is None or isinstance(fault, int):
        return reply
    arrays, = reply.content.array_records.values()
    metrics, = reply.content.metric_records.values()
    weight = arrays["weight"].numpy().copy()
    if fault == "nan":
        weight[3] = np.nan
    elif fault == "shape":
        weight = weight[:1]
    elif fault == "random":
        weight = np.random.default_rng(1).uniform(-1, 1, weight.size).astype(np.float16)
    content = RecordDict({{"arrays": ArrayRecord({{"weight": Array(weight)}}), "metrics": metrics}})
    return Message(content, reply_to=message)
'''


def faulty(out, faults):
    return FAULTY.format(faults=faults, out=str(out))


def log(out, name):
    return (out / "logs" / f"{name}.log").read_text(errors="replace")


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.1)


def holders(text):
    """The processes in whose environment the text is."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if text.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            pass
    return [pid for pid in found if pid != os.getpid()]


def one_lies(made, folder):
    """The same federation in this process, worker 1 sending NaN: the words that it must come to."""
    def answer(message, context):
        reply = client.app(message, context)
        if context.node_config["partition-id"] != 1:
            return reply
        weight = reply.content.array_records["arrays"]["weight"].numpy().copy()
        weight[3] = np.nan
        return Message(RecordDict({"arrays": ArrayRecord({"weight": Array(weight)}),
                                   "metrics": reply.content.metric_records["metrics"]}), reply_to=message)
    return Hub(made, out=folder).run(LocalGrid(made, ["golden"] * made.workers, client=answer))


# What Flower says to those it sends away.
REFUSALS = {"no-certificate": "Server disconnected without sending a response", "wrong-certificate":
            "certificate verify failed", "no-key": "SuperNode authentication is enabled", "unregistered-key":
            "Failed to activate SuperNode"}


def test_only_those_with_certificate_and_key_take_part_and_the_bits_are_the_same(tmp_path):
    made = settings(workers=2, rounds=1, timeout=120.0, score_workers=False)
    golden = one_lies(made, tmp_path / "local")
    out = tmp_path / "real"
    with Processes(made, ["golden"] * 2, out, secure=True, worker=faulty(out, {1: {1: "nan"}})) as real:
        keys.write_keys(tmp_path / "foreign", names=["127.0.0.1"], workers=1)
        ours, foreign = str(real.keys / keys.CA), str(tmp_path / "foreign" / keys.CA)
        key, other = str(real.keys / "worker-0"), str(tmp_path / "foreign" / "worker-0")
        patience = ("--max-retries", "1")
        intruders = {name: real.start_node(name, 0, *options, *patience) for name, options in {
            "no-certificate": ("--insecure",),
            "wrong-certificate": ("--root-certificates", foreign, "--auth-supernode-private-key", key),
            "no-key": ("--root-certificates", ours),
            "unregistered-key": ("--root-certificates", ours, "--auth-supernode-private-key", other)}.items()}
        real.wait(real.submit())
        for name, process in intruders.items():
            wait_for(lambda process=process: process.poll() is not None, 60, f"{name} to be sent away")
            assert process.returncode not in (0, None), name
        assert all(process.poll() is None for process in real.nodes.values())
        listed = json.loads(real._flwr("supernode", "list", "hub", "--format", "json", "--verbose"))
        assert len(listed["nodes"]) == 2, "registered: the two whose keys were"
        record = real.rounds()[1]
        assert real.left(), "that finds them"
    assert not real.left(), "a process outlived the federation"
    for name, sentence in REFUSALS.items():
        assert sentence in log(out, name), (name, log(out, name)[-2000:])
    assert len(record["down"]) == 2 and not record["dropped"], "nobody else was sent anything"
    refusal, = record["refused"]
    assert refusal["name"] == "worker 1" and "weight holds nan at 3" in refusal["why"]
    state = Global.load(out / STATE)[0]
    assert state.weight.tobytes() == golden.weight.tobytes()
    assert state.numbers == real._ids and sorted(state.numbers.values()) == [0, 1]


def test_sigterm_takes_every_process_along(tmp_path):
    """As `kill` or a machine that shuts down sends it: to the command alone."""
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    scratch.mkdir()
    command = subprocess.Popen(
        [str(Path(sys.executable).parent / "autapse"), "federate", "--engine", "processes", "--workers", "1",
         "--limit", "60", "--net", "64-12-10", "--rounds", "50", "--out", str(out)],
        env=os.environ | {"TMPDIR": str(scratch)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    mark = f"FLWR_HOME={scratch}"
    try:
        wait_for(lambda: (out / "logs" / "worker-0.log").exists() and len(holders(mark)) >= 2, 120, "its processes")
        command.terminate()
        assert command.wait(60) == 128 + signal.SIGTERM
        assert holders(mark) == []
        assert not list(scratch.glob("autapse-fl-*")), "its scratch folder is gone"
    finally:
        command.kill()
        command.wait()


def test_a_worker_that_cannot_start_is_named_at_once(tmp_path):
    real = Processes(settings(), ["golden"] * 3, tmp_path)
    real.hub, real.nodes[2] = real._start("hub", "sleep", "60"), real._start("worker-2", "false")
    try:
        with pytest.raises(ap.AutapseError, match="the SuperNode of worker 2 ended before the first round did; see"):
            real.wait(0)
    finally:
        real.close()
    assert not real.left()


def test_a_port_that_is_taken(tmp_path):
    import socket
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ap.AutapseError, match=f"port {port} of 127.0.0.1 cannot be used"):
            Processes(settings(), ["golden"] * 3, tmp_path, port=port)


def test_keys_are_private_and_differ(tmp_path):
    keys.write_keys(tmp_path, names=["hub.example", "10.0.0.7"], workers=3)
    secret = [tmp_path / name for name in ("hub.key", "worker-0", "worker-1", "worker-2")]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in secret)
    assert len({path.read_bytes() for path in secret}) == 4
    from cryptography import x509
    certificate = x509.load_pem_x509_certificate((tmp_path / "hub.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["hub.example"]
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes()))


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_five_workers_three_liars_one_sluggard_one_death_and_a_restarted_hub(tmp_path):
    made = settings(workers=5, rounds=9, local_epochs=5, data="digits:mixed", limit=None, timeout=60.0,
                    score_workers=False, network=ap.Network([ap.Linear(64, 48), ap.LIF(), ap.Linear(48, 10), ap.LI()],
                                                            steps=8).as_dict(),
                    training={"learning_rate": 0.3, "batch": 16})
    undisturbed = federate(made, ["golden"] * 5, Plan())
    out = tmp_path / "real"
    # Worker 2 keeps the later rounds open, so that the hub dies within one however busy the machine is.
    faults = {0: {5: 600}, 1: {2: "nan"}, 2: {2: "shape", 6: 20, 7: 20, 8: 20}, 3: {3: "random"}, 4: {4: 120}}
    with Processes(made, ["golden"] * 5, out, worker=faulty(out, faults)) as real:
        run = real.submit()
        wait_for((out / "at-5-0").exists, 1500, "worker 0 to be at work on round 5")
        assert real.rounds()[-1]["round"] == 4
        real.kill_worker(0)
        wait_for(lambda: real.rounds()[-1]["round"] == 5, 300, "round 5")
        assert "0" not in real.rounds()[5]["workers"]
        real.start_worker(0)
        wait_for(lambda: "0" in real.rounds()[-1]["workers"], 300, "worker 0 to take part again")
        back = real.rounds()[-1]["round"]
        assert 5 < back < 9
        assert real.status(run).startswith("running")
        wait_for((out / f"at-{back + 1}-2").exists, 300, "the next round")
        real.kill_hub()
        assert real.rounds()[-1]["round"] == back
        real.start_hub()
        real.wait(real.submit(resume=True), seen=len(real.rounds()))
        records = real.rounds()
    assert not real.left()
    by_round = {record["round"]: record for record in records}
    assert sorted(by_round) == list(range(10))
    names = {round_: {entry["name"] for kind in ("refused", "dropped") for entry in record[kind]}
             for round_, record in by_round.items()}
    assert names[1] == set() and names[2] == {"worker 1", "worker 2"} and names[3] == {"worker 3"}
    assert "norm" in by_round[3]["refused"][0]["why"]
    assert "worker 4" in names[4] and "no answer within" in by_round[4]["dropped"][0]["why"]
    assert "worker 0" in names[5] and "worker 0" not in names[9]
    assert sorted(by_round[9]["workers"]) == list("01234")
    for record in records[1:]:
        print(record["round"], f"{record['seconds']:.1f} s", sorted(record["workers"]),
              [(entry["name"], entry["why"]) for kind in ("refused", "dropped") for entry in record[kind]])
    print("undisturbed", undisturbed.test_accuracy, "disturbed", by_round[9]["test_accuracy"])
    assert abs(undisturbed.test_accuracy - by_round[9]["test_accuracy"]) <= 0.01


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_hub_that_is_killed_in_mid_round_comes_to_the_same_bits(tmp_path):
    made = settings(workers=2, rounds=3, timeout=60.0, score_workers=False)
    golden = federate(made, ["golden"] * 2, Plan(out=tmp_path / "local"))
    out = tmp_path / "real"
    with Processes(made, ["golden"] * 2, out, secure=True, worker=faulty(out, {})) as real:
        real.submit()
        wait_for((out / "at-2-1").exists, 300, "round 2")
        real.kill_hub()
        assert real.rounds()[-1]["round"] == 1
        real.start_hub()
        real.wait(real.submit(resume=True), seen=len(real.rounds()))
    state = Global.load(out / STATE)[0]
    assert state.weight.tobytes() == Global.load(tmp_path / "local" / STATE)[0].weight.tobytes()
    assert [record["test_accuracy"] for record in state.records] == [
        record["test_accuracy"] for record in golden.records]
    assert all(len(record["workers"]) == 2 for record in state.records[1:])
