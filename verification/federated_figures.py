"""What a federation costs and gains, beside the same training on one device and beside the workers alone.

    python -m autapse.verification.federated_figures digits
    python -m autapse.verification.federated_figures mnist --mnist DIR
    python -m autapse.verification.federated_figures speech --fsdd FILE

Every figure is the mean over the seeds; every run has the same bits each time. docs/federated.md has the figures.
"""

import argparse
import json
import statistics
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..sw_driver.errors import AutapseError
from ..sw_driver.federated.run import Plan, compare, federate
from ..sw_driver.federated.settings import Settings
from ..sw_driver.network import LI, LIF, Linear, Network, TrainingSpec


@dataclass(frozen=True, kw_only=True)
class Case:
    """One federation; `beside` says what it is also trained without: "nothing", "one device", or "alone" as well."""

    name: str
    data: str
    sizes: tuple[int, ...]
    steps: int
    rounds: int = 20
    local_epochs: int = 5
    training: dict = field(default_factory=lambda: {"learning_rate": 0.3, "momentum": 0.9})
    changes: dict = field(default_factory=dict)
    beside: str = "nothing"

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


LOPSIDED, SPARSE = {"split": "dirichlet:0.5"}, {"compress": "topk:0.05"}


def cases(given: argparse.Namespace) -> list[Case]:
    """The cases of a topic; the first is also trained without a federation."""
    beside = "alone"
    if given.topic == "digits":
        base = {"data": given.digits, "sizes": (64, 128, 10), "steps": 8}
    elif given.topic == "mnist":
        base = {"data": f"mnist:{given.mnist}", "sizes": (784, 128, 10), "steps": 4, "rounds": 10, "local_epochs": 1}
        beside = "one device"
    else:
        base = {"data": f"fsdd:{given.fsdd}", "sizes": (96, 128, 10), "steps": 10}
        return [Case(name="a speaker per worker", **base, changes={"split": "speaker"}, beside="alone")]
    return [Case(name="IID", **base, beside=beside), Case(name="Dirichlet 0.5", **base, changes=LOPSIDED),
            Case(name="IID, top-k 5 %", **base, changes=SPARSE)]


def measure(case: Case, seeds: int) -> dict:
    """Means over the seeds in percent: `federation` and what it is `beside`; `bytes` of a run."""
    scores, one, alone, total = [], [], [], 0
    for seed in range(seeds):
        settings = case.settings(seed)
        result = federate(settings, ["golden"] * settings.workers, Plan())
        assert result.test_accuracy is not None
        scores.append(100 * result.test_accuracy)
        total = result.total("up") + result.total("down")
        if case.beside != "nothing":
            found = compare(settings, alone=case.beside == "alone")
            one.append(100 * found["one_device"])
            alone += [100 * found["alone_mean"]] if found["alone"] else []
    return {"name": case.name, "federation": statistics.fmean(scores), "each": scores, "bytes": total,
            "one_device": statistics.fmean(one) if one else None, "alone": statistics.fmean(alone) if alone else None}


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("topic", choices=["digits", "mnist", "speech"])
    parser.add_argument("--digits", default="digits:mixed", help="digits:mixed, or digits with its harder test set")
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
    print(f"{'5 workers':<22}{'federation':>12}{'one device':>12}{'alone':>9}{'MB sent':>10}{'fewer':>8}", flush=True)
    try:
        for case in cases(given):
            row = measure(case, given.seeds)
            rows.append(row)
            first = first or row
            beside = [f"{row[key]:.2f} %" if row[key] is not None else "" for key in ("one_device", "alone")]
            print(f"{row['name']:<22}{row['federation']:>10.2f} %{beside[0]:>12}{beside[1]:>9}"
                  f"{row['bytes'] / 1e6:>10.2f}{first['bytes'] / row['bytes']:>7.1f}x", flush=True)
    except AutapseError as error:
        print(f"federated_figures: {error}", file=sys.stderr)
        return 2
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
