"""What hub and workers must agree on: one plain description that travels with the run."""

import json
from dataclasses import asdict, dataclass, field

from ..errors import SpecError
from ..half import half_scalar, whole
from ..network import Network, TrainingSpec
from .split import parse_split
from .wire import parse_compression

STRATEGIES = {
    "fedavg": "mean of the workers' weights, by samples",
    "fedprox": "the same; workers are held near the global weights",
    "fedavgm": "the same; the hub adds momentum to the change",
    "trimmed": "mean of each weight without its largest and smallest",
    "krum": "the weights of the worker that is nearest to the others",
}
KEEP = ("stay", "travel", "zero")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A federation: who, on what, how.

    Fields
    ------
    network, training
        As `Network.as_dict` and the fields of TrainingSpec.
    data, encoder, pool, limit, split
        What is trained on, and how it is divided ("own": every worker's whole set is its own).
    workers, rounds, local_epochs
        Each round every worker trains for `local_epochs` epochs on its part.
    seed
        Decides initial weights, split and order. Worker k takes its samples in the order of seed + 1000003·k.
    remainders, momenta
        What becomes of the words R and M of the rules between rounds: "stay" with the worker, "travel" and are averaged
        with the weights, or start every round at "zero".
    compress
        "none", "difference" or "topk:SHARE".
    strategy, proximal_mu, server_momentum, server_rate, trim, malicious
        One of STRATEGIES, and its numbers.
    guard
        An update whose norm is more than this many times the median is refused; 0 turns the rule off.
    timeout
        Seconds a round may take before who has not answered is left out.
    min_workers
        Fewer connected workers than this end the run.
    score_workers
        Whether each worker scores its own weights on the test set after training.
    hub_device
        The device the hub scores on.

    Raises
    ------
    SpecError
        If a value is unknown or out of range.
    """

    network: dict
    training: dict = field(default_factory=dict)
    data: str = "digits"
    encoder: str = "rate"
    pool: int = 1
    limit: int | None = None
    split: str = "iid"
    workers: int = 5
    rounds: int = 20
    local_epochs: int = 1
    seed: int = 0
    other: float = 0.0
    remainders: str = "stay"
    momenta: str = "zero"
    compress: str = "none"
    strategy: str = "fedavg"
    proximal_mu: float = 0.01
    server_momentum: float = 0.5
    server_rate: float = 1.0
    trim: float = 0.2
    malicious: int = 1
    guard: float = 3.0
    timeout: float = 600.0
    min_workers: int = 1
    score_workers: bool = True
    hub_device: str = "golden"

    def __post_init__(self):
        for name in ("workers", "rounds", "local_epochs", "min_workers"):
            whole(getattr(self, name), name.replace("_", " "), least=1, most=65536)
        whole(self.seed, "seed", least=0)
        whole(self.malicious, "malicious workers", least=0, most=self.workers)
        half_scalar(self.other, "target of the other classes")
        if self.strategy not in STRATEGIES:
            raise SpecError(f"there is no strategy {self.strategy!r}; known are {', '.join(STRATEGIES)}")
        for name in ("remainders", "momenta"):
            if getattr(self, name) not in KEEP:
                raise SpecError(f"{name} must be {', '.join(KEEP)}, not {getattr(self, name)!r}")
        if self.min_workers > self.workers:
            raise SpecError(f"min workers is {self.min_workers}, more than the {self.workers} workers there are")
        parse_split(self.split)
        kind, _ = parse_compression(self.compress)
        if kind != "none" and "travel" in (self.remainders, self.momenta):
            raise SpecError(f"--compress {self.compress} sends changes of weights only; remainders and momenta must "
                            "stay or be zero")
        for name, least, most in (("proximal_mu", 0, 1e6), ("server_momentum", 0, 0.999), ("server_rate", 1e-6, 100),
                                  ("trim", 0, 0.499), ("guard", 0, 1e9), ("timeout", 1e-3, 1e9)):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not least <= value <= most:
                raise SpecError(f"{name.replace('_', ' ')} must be from {least:g} to {most:g}, not {value!r}")
        if self.strategy == "krum" and self.workers < 2 * self.malicious + 3:
            raise SpecError(f"krum with {self.malicious} workers that may be false needs at least "
                            f"{2 * self.malicious + 3} workers, not {self.workers}; change --workers or --malicious")
        if self.strategy == "trimmed" and int(self.trim * self.workers) < 1:
            raise SpecError(f"a trim of {self.trim:g} cuts no one of {self.workers} workers; it needs at least "
                            f"{1 / self.workers:.2g}")
        self.training_spec().check(self.build_network())

    def build_network(self) -> Network:
        return Network.from_dict(self.network)

    def training_spec(self) -> TrainingSpec:
        return TrainingSpec(**self.training)

    def worker_seed(self, worker: int) -> int:
        """The seed of a worker's order of samples; worker 0 has that of the run."""
        return self.seed + 1_000_003 * worker

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            if isinstance(error, SpecError):
                raise
            raise SpecError(f"these are no settings of a federation of this version: {error}") from None
