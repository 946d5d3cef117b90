"""Who trains on which samples: every split is decided by the seed, and every sample has one owner."""

import random

import numpy as np

from ..data import Data, JoinedSet, SpikeSet
from ..errors import DataError, SpecError
from ..randomness import permutation

KINDS = "iid, dirichlet:ALPHA, speaker, class or own"
_KEY = 3  # first word of the key; 0 to 2 are initial weights, biases and the order of an epoch


def parse_split(text: str) -> tuple[str, float | None]:
    """("dirichlet", 0.5) of "dirichlet:0.5", ("iid", None) of "iid"; a SpecError says what is known."""
    kind, _, rest = str(text).partition(":")
    if kind == "dirichlet":
        try:
            alpha = float(rest)
        except ValueError:
            raise SpecError(f"the split dirichlet needs a number, such as dirichlet:0.5, not {text!r}") from None
        if not 0 < alpha < float("inf"):
            raise SpecError(f"alpha of the split {text!r} must be more than 0")
        return kind, alpha
    if kind not in ("iid", "speaker", "class", "own") or rest:
        raise SpecError(f"there is no split {text!r}; known are {KINDS}")
    return kind, None


def _cut(order: np.ndarray, shares: list[float]) -> list[np.ndarray]:
    """`order` in consecutive parts whose sizes are as the shares, each boundary rounded down."""
    edges = np.floor(np.cumsum(shares) / sum(shares) * len(order) + 1e-9).astype(int)
    edges[-1] = len(order)
    return np.split(order, edges[:-1])


def _dirichlet(labels: np.ndarray, workers: int, alpha: float, seed: int) -> list[np.ndarray]:
    draw = random.Random(f"autapse {seed} {alpha}")
    parts: list[list[np.ndarray]] = [[] for _ in range(workers)]
    for label in range(int(labels.max()) + 1):
        members = np.flatnonzero(labels == label)
        shares = [draw.gammavariate(alpha, 1.0) + 1e-300 for _ in range(workers)]
        for worker, part in enumerate(_cut(members[permutation(len(members), seed, _KEY, label)], shares)):
            parts[worker].append(part)
    return [np.concatenate(part) for part in parts]


def split_indices(samples: SpikeSet, *, split: str, workers: int, seed: int) -> list[np.ndarray]:
    """The samples of each worker: sorted indices (int64), one array per worker.

    "iid" deals shuffled samples evenly. "dirichlet:ALPHA" draws each class's shares over the workers from a symmetric
    Dirichlet distribution: the smaller alpha, the more lopsided. "class" gives each worker whole classes. "speaker"
    gives worker k all of the k-th speaker in alphabetical order; speakers beyond the last worker are left out.

    Raises
    ------
    SpecError
        If the split is unknown, or there are more workers than samples, classes or speakers, or a worker is left
        without samples.
    """
    kind, alpha = parse_split(split)
    labels = samples.labels
    if workers > len(samples):
        raise SpecError(f"{workers} workers are more than the {len(samples)} training samples; use fewer workers or "
                        "more data")
    if kind == "iid":
        parts = np.array_split(permutation(len(samples), seed, _KEY), workers)
    elif kind == "dirichlet":
        assert alpha is not None
        parts = _dirichlet(labels, workers, alpha, seed)
    elif kind == "class":
        classes = np.unique(labels)
        if workers > len(classes):
            raise SpecError(f"{workers} workers are more than the {len(classes)} classes to split by; use at most "
                            f"{len(classes)}")
        parts = [np.flatnonzero(np.isin(labels, mine)) for mine in np.array_split(classes, workers)]
    elif kind == "speaker":
        names = speakers_of(samples)
        if workers > len(names):
            raise SpecError(f"{workers} workers are more than the {len(names)} speakers {', '.join(names)}; use at "
                            f"most {len(names)}")
        parts = [np.flatnonzero(samples.speakers == name) for name in names[:workers]]
    else:
        raise SpecError("with the split own every worker brings its own data; nobody splits them")
    for worker, part in enumerate(parts):
        if not len(part):
            raise SpecError(f"the split {split} leaves worker {worker} without samples; use fewer workers, a larger "
                            "alpha or another seed")
    return [np.sort(part) for part in parts]


def speakers_of(samples: SpikeSet) -> list[str]:
    """The names of the speakers of a set, in alphabetical order; a DataError if the set knows none."""
    if samples.speakers is None:
        raise DataError("the split speaker needs data that names its speakers, such as wav:DIR or fsdd:FILE")
    return sorted(set(samples.speakers.tolist()))


def scored_on(data: Data, *, split: str, workers: int) -> SpikeSet | None:
    """What the federation is scored on: the test set, or all samples of the speakers that no worker has."""
    if split != "speaker" or data.test is None:
        return data.test
    left_out = speakers_of(data.train)[workers:]
    if not left_out:
        return data.test
    everything = JoinedSet(data.train, data.test)
    assert everything.speakers is not None
    return everything.take(np.flatnonzero(np.isin(everything.speakers, left_out)))
