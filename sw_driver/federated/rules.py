"""Flower's strategies at work on exact numbers: what goes in is exact and in order, what comes out is rounded once.

Flower computes in the type of the arrays and in the order of arrival: five equal binary16 models come back changed. So
its strategies are given float64, which holds every word x = W + 2^-10·R exactly, sorted by worker.

For the three that average (FedAvg, FedProx, FedAvgM) the mean by samples is taken here, in whole numbers, and handed to
the strategy as the answer of one worker, of which it takes the mean; FedAvgM adds its momentum to it. Trimmed mean and
Krum see every worker, in float64 and in the order of their numbers: so their result does not depend on who answered
first, but they divide and square, and are rounded on the way.
"""

from collections.abc import Sequence

import numpy as np

from . import flower  # noqa: F401  (before Flower)

from flwr.app import Array, ArrayRecord, Message, MessageType, MetricRecord, RecordDict  # isort: skip
from flwr.serverapp.strategy import FedAvg, FedAvgM, FedProx, FedTrimmedAvg, Krum  # isort: skip

from .exact import split, weighted_mean
from .guard import Update
from .settings import Settings


def make_strategy(settings: Settings) -> FedAvg:
    """Flower's own strategy that the settings name; it only trains, for scores travel with the answers."""
    common = {"fraction_evaluate": 0.0, "min_train_nodes": 1, "min_available_nodes": 1}
    if settings.strategy == "fedprox":
        return FedProx(**common, proximal_mu=float(settings.proximal_mu))
    if settings.strategy == "fedavgm":
        return FedAvgM(**common, server_learning_rate=settings.server_rate, server_momentum=settings.server_momentum)
    if settings.strategy == "trimmed":
        return FedTrimmedAvg(**common, beta=settings.trim)
    if settings.strategy == "krum":
        return Krum(**common, num_malicious_nodes=settings.malicious)
    return FedAvg(**common)


class Rule:
    """Makes the next global words of the updates of a round.

    `momentum` is FedAvgM's own, float64 (synapses,) or None; a hub that resumes puts it back.
    """

    def __init__(self, settings: Settings):
        self.strategy, self._name = make_strategy(settings), settings.strategy
        self._averages = settings.strategy in ("fedavg", "fedprox", "fedavgm")
        # Workers to cut at either end. Flower cuts a share of those who answered: none at all once a few are missing.
        self._cut = int(settings.trim * settings.workers) if settings.strategy == "trimmed" else 0
        self._least = {"trimmed": 2 * self._cut + 1, "krum": 2 * settings.malicious + 3}.get(settings.strategy, 1)

    @property
    def momentum(self) -> np.ndarray | None:
        vectors = getattr(self.strategy, "momentum_vector", None)
        return None if vectors is None else vectors[0]

    @momentum.setter
    def momentum(self, vector: np.ndarray | None) -> None:
        if vector is not None and isinstance(self.strategy, FedAvgM):
            self.strategy.momentum_vector = [vector]

    def lacks(self, updates: Sequence[Update]) -> str:
        """Why the rule cannot keep its promise with so few updates; empty where it can."""
        if len(updates) >= self._least:
            return ""
        return f"{len(updates)} updates are too few for {self._name} to outvote the false; it needs {self._least}"

    def combine(self, round_: int, updates: Sequence[Update], x_global: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """W and R, float16 (synapses,), of the next round; the order of `updates` does not matter."""
        ordered = sorted(updates, key=lambda update: update.worker)
        if isinstance(self.strategy, FedAvgM):
            # Flower goes on from its own unrounded result; the workers went on from the rounded one.
            self.strategy.current_arrays = ArrayRecord({"x": Array(x_global)})
        if self._averages:
            mean = weighted_mean([update.x for update in ordered], [update.samples for update in ordered])
            answers = [_answer(mean, 1)]
        else:
            answers = [_answer(update.x, update.samples) for update in ordered]
            if isinstance(self.strategy, FedTrimmedAvg):
                self.strategy.beta = (self._cut + 0.25) / len(ordered)  # below a half; Flower takes the whole number
        arrays, _ = self.strategy.aggregate_train(round_, answers)
        assert arrays is not None
        return split(arrays["x"].numpy())


def mean_momentum(updates: Sequence[Update]) -> np.ndarray:
    """The momenta of the workers, averaged by samples and rounded once, float16 (synapses,)."""
    pairs = [(update.momentum.astype(np.float64), update.samples) for update in updates if update.momentum is not None]
    return split(weighted_mean([vector for vector, _ in pairs], [count for _, count in pairs]))[0]


def _answer(x: np.ndarray, samples: int) -> Message:
    content = RecordDict({"arrays": ArrayRecord({"x": Array(x)}), "metrics": MetricRecord({"num-examples": samples})})
    return Message(content, dst_node_id=0, message_type=MessageType.TRAIN)
