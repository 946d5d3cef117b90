"""What a federation costs and gains, beside the same training on one device and beside the workers alone.

    python -m autapse.verification.federated_figures digits
    python -m autapse.verification.federated_figures mnist --mnist DIR
    python -m autapse.verification.federated_figures speech --fsdd FILE
    python -m autapse.verification.federated_figures faults
    python -m autapse.verification.federated_figures rules

Every figure is the mean over the seeds; every run has the same bits each time. docs/federated.md has the figures.
"""

import argparse
import json
import logging
import statistics
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from ..sw_driver.errors import AutapseError
from ..sw_driver.federated import client
from ..sw_driver.federated.hub import Hub
from ..sw_driver.federated.local import LocalGrid
from ..sw_driver.federated.run import Plan, compare, federate
from ..sw_driver.federated.settings import STRATEGIES, Settings
from ..sw_driver.network import LI, LIF, Linear, Network, TrainingSpec

from flwr.app import Array, ArrayRecord, Message  # isort: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """One federation; `beside` says what it is also trained without: "nothing", "one device", or "alone" as well.

    `faults` says what workers do wrong, {worker: (kind, rounds)}: "nan", "shape", "random" or "gone".
    """

    name: str
    data: str
    sizes: tuple[int, ...]
    steps: int
    rounds: int = 20
    local_epochs: int = 5
    training: dict = field(default_factory=lambda: {"learning_rate": 0.3, "momentum": 0.9})
    changes: dict = field(default_factory=dict)
    beside: str = "nothing"
    faults: dict = field(default_factory=dict)

    def settings(self, seed: int) -> Settings:
        """The settings of this case with a seed."""
        modules = []
        for inputs, outputs in zip(self.sizes[:-2], self.sizes[1:-1], strict=True):
            modules += [Linear(inputs, outputs), LIF()]
        modules += [Linear(*self.sizes[-2:]), LI()]
        network = Network(modules, steps=self.steps)
        return Settings(network=network.as_dict(), training=asdict(TrainingSpec(**self.training)), data=self.data,
                        rounds=self.rounds, local_epochs=self.local_epochs, seed=seed, score_workers=False,
                        **self.changes)


# Rounds 1 to 20
FAULTS = {
    "worker 1 sends NaN": {1: ("nan", range(3, 21))},
    "worker 2 cuts its words": {2: ("shape", range(3, 21))},
    "worker 3 sends noise": {3: ("random", range(3, 21))},
    "worker 4 comes and goes": {4: ("gone", range(2, 20, 2))},
    "two of them, for good": {1: ("nan", range(3, 21)), 3: ("random", range(3, 21))},
}
LOPSIDED, SPARSE = {"split": "dirichlet:0.5"}, {"compress": "topk:0.05"}


def cases(given: argparse.Namespace) -> list[Case]:
    """The cases of a topic; the first is also trained without a federation."""
    beside = "alone"
    if given.topic == "speech":
        base = {"data": f"fsdd:{given.fsdd}", "sizes": (96, 128, 10), "steps": 10}
        return [Case(name="a speaker per worker", **base, changes={"split": "speaker"}, beside="alone")]
    if given.topic in ("digits", "faults", "rules"):
        base = {"data": given.digits, "sizes": (64, 128, 10), "steps": 8}
    else:
        base = {"data": f"mnist:{given.mnist}", "sizes": (784, 128, 10), "steps": 4, "rounds": 10, "local_epochs": 1}
        beside = "one device"
    if given.topic == "faults":
        return [Case(name="undisturbed", **base), *(
            Case(name=name, **base, faults=faults) for name, faults in FAULTS.items())]
    if given.topic == "rules":
        return [Case(name=name, **base, changes={"strategy": name}) for name in STRATEGIES]
    if given.topic == "digits" and given.often:
        often = base | {"rounds": 100, "local_epochs": 1, "beside": "one device",
                        "changes": {"remainders": "travel", "momenta": "travel"}}
        return [Case(name="IID, 100 rounds", **often), Case(
            name="IID, … batches of 8", **often, training={"learning_rate": 0.1, "momentum": 0.9, "batch": 8})]
    return [Case(name="IID", **base, beside=beside), Case(name="Dirichlet 0.5", **base, changes=LOPSIDED),
            Case(name="IID, top-k 5 %", **base, changes=SPARSE)]


def disturbed(case: Case, settings: Settings) -> tuple[float, int]:
    """Accuracy and bytes of a federation with the faults of `case`; each must have been refused or missed, by name."""
    def answer(message: Message, context) -> Message:
        worker = context.node_config["partition-id"]
        kind, rounds = case.faults.get(worker, ("", ()))
        if message.content.config_records["config"]["server-round"] not in rounds:
            return client.app(message, context)
        if kind == "gone":
            return client.failed(message, worker, "gone")
        content = client.app(message, context).content
        weight = content.array_records["arrays"]["weight"].numpy().copy()
        if kind == "nan":
            weight[17] = np.nan
        elif kind == "shape":
            weight = weight[:-1]
        else:
            weight = np.random.default_rng(settings.seed).uniform(-1, 1, weight.size).astype(np.float16)
        content["arrays"] = ArrayRecord({"weight": Array(weight)})
        return Message(content, reply_to=message)

    state = Hub(settings).run(LocalGrid(settings, ["golden"] * settings.workers, client=answer))
    named = {(record["round"], entry["worker"]) for record in state.records
             for kind in ("refused", "dropped") for entry in record[kind]}
    assert named == {(round_, worker) for worker, (_, rounds) in case.faults.items() for round_ in rounds
                     if round_ <= settings.rounds}
    return state.records[-1]["test_accuracy"], sum(
        sum(record["up"].values()) + sum(record["down"].values()) for record in state.records)


def measure(case: Case, seeds: int) -> dict:
    """Means over the seeds in percent: `federation` and what it is `beside`; `bytes` of a run."""
    scores, one, alone, total = [], [], [], 0
    for seed in range(seeds):
        settings = case.settings(seed)
        if case.faults:
            score, total = disturbed(case, settings)
        else:
            result = federate(settings, ["golden"] * settings.workers, Plan())
            score, total = result.test_accuracy, result.total("up") + result.total("down")
        assert score is not None
        scores.append(100 * score)
        if case.beside != "nothing":
            found = compare(settings, alone=case.beside == "alone")
            one.append(100 * found["one_device"])
            alone += [100 * found["alone_mean"]] if found["alone"] else []
    return {"name": case.name, "federation": statistics.fmean(scores), "each": scores, "bytes": total,
            "one_device": statistics.fmean(one) if one else None, "alone": statistics.fmean(alone) if alone else None}


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("topic", choices=["digits", "mnist", "speech", "faults", "rules"])
    parser.add_argument("--digits", default="digits:mixed", help="digits:mixed, or digits with its harder test set")
    parser.add_argument("--often", action="store_true", help="digits: 100 rounds of one epoch in place of 20 of five, "
                        "remainders and momenta travel; batches of 32, and of 8 at a lower rate")
    parser.add_argument("--mnist", help="folder of the four idx files")
    parser.add_argument("--fsdd", help="packed speech, see docs/data.md")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    needed = {"mnist": given.mnist, "speech": given.fsdd}.get(given.topic, "")
    if needed is None:
        parser.error(f"{given.topic} needs --{'mnist DIR' if given.topic == 'mnist' else 'fsdd FILE'}")
    if given.seeds < 1:
        parser.error("--seeds must be at least 1")
    rows, first = [], None
    logging.getLogger("flwr").setLevel(logging.ERROR)
    print(f"{'5 workers':<24}{'federation':>12}{'one device':>12}{'alone':>9}{'MB sent':>10}{'fewer':>8}", flush=True)
    try:
        for case in cases(given):
            row = measure(case, given.seeds)
            rows.append(row)
            first = first or row
            beside = [f"{row[key]:.2f} %" if row[key] is not None else "" for key in ("one_device", "alone")]
            print(f"{row['name']:<24}{row['federation']:>10.2f} %{beside[0]:>12}{beside[1]:>9}"
                  f"{row['bytes'] / 1e6:>10.2f}{first['bytes'] / row['bytes']:>7.1f}x", flush=True)
    except AutapseError as error:
        print(f"federated_figures: {error}", file=sys.stderr)
        return 2
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
