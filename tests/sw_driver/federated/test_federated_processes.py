"""Flower's own processes: who has no certificate or key does not join; workers and hub fail, and training ends."""

import json
import os
import subprocess
import time

import numpy as np
import pytest

import autapse as ap
from autapse.sw_driver.federated import keys
from autapse.sw_driver.federated.hub import STATE, Global
from autapse.sw_driver.federated.processes import Processes, free_port
from autapse.sw_driver.federated.run import Plan, federate
from federations import settings

# A ClientApp whose workers misbehave in the rounds of FAULTS, {worker: {round: fault}}.
FAULTY = '''
import time
import numpy as np
from autapse.sw_driver.federated import client
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.clientapp import ClientApp

FAULTS = {faults}
app = ClientApp()


@app.train()
def train(message, context):
    round_ = message.content.config_records["config"]["server-round"]
    fault = FAULTS.get(context.node_config["partition-id"], {{}}).get(round_)
    if fault == "slow":
        time.sleep({slow})
    reply = client.train(message, context)
    if fault in (None, "slow"):
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


def log(out, name):
    return (out / "logs" / f"{name}.log").read_text(errors="replace")


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.3)


def test_only_those_with_certificate_and_key_take_part_and_the_bits_are_the_same(tmp_path):
    made = settings(workers=2, rounds=2, timeout=120.0, score_workers=False)
    golden = federate(made, ["golden"] * 2, Plan(out=tmp_path / "local"))
    faults = FAULTY.format(faults={1: {2: "nan"}}, slow=0)
    with Processes(made, ["golden"] * 2, tmp_path / "real", secure=True, worker=faults) as real:
        keys.write_keys(tmp_path / "foreign", names=["127.0.0.1"], workers=1)
        intruders = {}
        attempts = {"unregistered key": {"private_key": tmp_path / "foreign" / "worker-0"},
                    "no key": {"private_key": os.devnull}, "no TLS": {"secure": False}}
        honest = dict(real.nodes)
        for worker, options in enumerate(attempts.values()):
            real.start_worker(worker % 2, **options)
            intruders[worker] = real.nodes[worker % 2]
        # A foreign authority: this one does not believe the hub.
        intruders[3] = subprocess.Popen(
            ["flower-supernode", "--root-certificates", str(tmp_path / "foreign" / keys.CA), "--superlink",
             f"127.0.0.1:{real.port}", "--port", str(free_port()), "--max-retries", "1",
             "--auth-supernode-private-key", str(real.keys / "worker-0")],
            env=real.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            real.wait(real.submit())
            refused = {worker: process.poll() for worker, process in intruders.items()}
        finally:
            intruders[3].kill()
            intruders[3].wait()
        assert refused[0] not in (None, 0) and refused[1] not in (None, 0), "without our key they are sent away"
        assert all(process.poll() is None for process in honest.values())
        listed = json.loads(real._flwr("supernode", "list", "hub", "--format", "json", "--verbose"))
        assert len(listed["nodes"]) == 2, "registered: the two whose keys were"
        records = real.rounds()
    assert sorted(records[1]["workers"]) == ["0", "1"] and not records[1]["dropped"]
    assert len(records[1]["down"]) == 2, "nobody else was sent anything"
    first = golden.records[1]
    assert records[1]["test_accuracy"] == first["test_accuracy"]
    for worker in "01":
        entry = records[1]["workers"][worker]
        assert (entry["norm"], entry["loss"]) == (first["workers"][worker]["norm"], first["workers"][worker]["loss"])
    refusal, = records[2]["refused"]
    assert refusal["name"] == "worker 1" and "weight holds nan at 3" in refusal["why"]
    assert np.isfinite(Global.load(tmp_path / "real" / STATE)[0].weight).all()


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
    made = settings(workers=5, rounds=8, local_epochs=5, data="digits:mixed", limit=None, timeout=120.0,
                    score_workers=False, network=ap.Network([ap.Linear(64, 48), ap.LIF(), ap.Linear(48, 10), ap.LI()],
                                                            steps=8).as_dict(),
                    training={"learning_rate": 0.3, "batch": 16})
    undisturbed = federate(made, ["golden"] * 5, Plan())
    faults = {1: {2: "nan"}, 2: {2: "shape"}, 3: {3: "random"}, 4: {4: "slow"}}
    out = tmp_path / "real"
    with Processes(made, ["golden"] * 5, out, worker=FAULTY.format(faults=faults, slow=200)) as real:
        run = real.submit()
        wait_for(lambda: len(real.rounds()) > 4, 1200, "round 4")
        time.sleep(6)  # round 5 is under way
        real.kill_worker(0)
        wait_for(lambda: len(real.rounds()) > 5, 400, "round 5")
        real.start_worker(0)
        wait_for(lambda: len(real.rounds()) > 6, 400, "round 6")
        assert real.status(run).startswith("running")
        real.kill_hub()
        real.start_hub()
        real.wait(real.submit(resume=True), seen=len(real.rounds()))
        records = real.rounds()
    by_round = {record["round"]: record for record in records}
    assert sorted(by_round) == list(range(9))
    names = {round_: {entry["name"] for kind in ("refused", "dropped") for entry in record[kind]}
             for round_, record in by_round.items()}
    assert names[1] == set() and names[2] == {"worker 1", "worker 2"} and names[3] == {"worker 3"}
    assert "norm" in by_round[3]["refused"][0]["why"]
    assert "worker 4" in names[4] and "no answer within" in by_round[4]["dropped"][0]["why"]
    assert "worker 0" in names[5]
    assert len(by_round[8]["workers"]) >= 4
    print("undisturbed", undisturbed.test_accuracy, "disturbed", by_round[8]["test_accuracy"])
    assert abs(undisturbed.test_accuracy - by_round[8]["test_accuracy"]) <= 0.01
