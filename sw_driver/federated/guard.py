"""The guard at the hub's door: which answers are taken, which are refused, and why."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .exact import MOST_SAMPLES, join
from .settings import Settings
from .wire import Refused, decode_change, parse_compression

# What a worker says of itself, all of it numbers; `test-accuracy` is nan where there is nothing to test on.
METRICS = ("num-examples", "worker", "loss", "accuracy", "test-accuracy", "skipped", "seconds")


@dataclass(kw_only=True)
class Update:
    """An answer that was taken.

    Fields
    ------
    worker, node, samples
        Who, Flower's number of the node, and the weight in a mean.
    x
        float64 (synapses,): the words x = W + 2^-10·R that the worker proposes.
    change
        float64 (synapses,): how far that is from what the worker was sent.
    momentum
        float16 (synapses,) where momenta travel.
    metrics
        What the worker says of itself.
    """

    worker: int
    node: int
    samples: int
    x: np.ndarray
    change: np.ndarray
    momentum: np.ndarray | None
    metrics: dict


def _number(metrics, name: str) -> float:
    value = metrics.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused(f"{name} must be one number, not {value!r:.40}")
    return value


def _unpacked(array, name: str) -> np.ndarray:
    try:
        return array.numpy()
    except Exception as error:  # the bytes are a stranger's: NumPy may say anything of them
        raise Refused(f"{name} cannot be read: {error}") from None


def _vector(arrays, name: str, size: int) -> np.ndarray:
    array = _unpacked(arrays[name], name)
    if array.dtype != np.float16:
        raise Refused(f"{name} is {array.dtype}, not float16")
    if array.shape != (size,):
        raise Refused(f"{name} has shape {array.shape}, not ({size},)")
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise Refused(f"{name} holds {array[bad[0]]} at {bad[0]} ({len(bad)} of {size} are not finite)")
    return array


def read_update(content, settings: Settings, *, node: int, size: int, x_global: np.ndarray,
                sent: np.ndarray) -> Update:
    """The update in a reply, or a Refused that says what is wrong with it.

    Arrays must be exactly those that the settings ask for, float16 of (size,), finite; samples from 1 to 2^24.

    Parameters
    ----------
    content
        Flower's RecordDict.
    x_global, sent
        float64 (size,): the hub's words, and what the workers were sent of them; a compressed change is taken from the
        latter and added to the former.
    """
    kind, _ = parse_compression(settings.compress)
    carriers = content.array_records if kind == "none" else content.config_records
    if len(carriers) != 1 or len(content.metric_records) != 1:
        raise Refused(f"an answer has one record of {'arrays' if kind == 'none' else 'bytes'} and one of metrics, not "
                      f"{len(carriers)} and {len(content.metric_records)}")
    arrays, = carriers.values()
    metrics, = content.metric_records.values()
    worker, samples = _number(metrics, "worker"), _number(metrics, "num-examples")
    if set(metrics) != set(METRICS):
        raise Refused(f"its metrics are {', '.join(sorted(metrics))}, not {', '.join(sorted(METRICS))}")
    if not isinstance(worker, int) or not 0 <= worker < settings.workers:
        raise Refused(f"there is no worker {worker!r}")
    if not math.isfinite(samples) or samples != int(samples) or not 1 <= samples <= MOST_SAMPLES:
        raise Refused(f"it says it trained on {samples!r} samples; from 1 to {MOST_SAMPLES} are believed")
    wanted = {"weight"} if kind == "none" else {"change"}
    wanted |= {name for name, choice in (("remainder", settings.remainders), ("momentum", settings.momenta))
               if choice == "travel"}
    if set(arrays) != wanted:
        raise Refused(f"its arrays are {', '.join(sorted(arrays)) or 'none'}, not {', '.join(sorted(wanted))}")
    momentum = _vector(arrays, "momentum", size) if "momentum" in wanted else None
    if kind == "none":
        remainder = _vector(arrays, "remainder", size) if "remainder" in wanted else None
        x = join(_vector(arrays, "weight", size), remainder)
        change = x - sent
    else:
        blob = arrays["change"]
        if not isinstance(blob, bytes):
            raise Refused(f"change is {type(blob).__name__}, not bytes")
        vector = decode_change(blob, size)
        if not np.isfinite(vector).all():
            raise Refused("change holds words that are not finite")
        change = vector.astype(np.float64)
        x = x_global + change
    return Update(worker=int(worker), node=node, samples=int(samples), x=x, change=change, momentum=momentum,
                  metrics={name: _number(metrics, name) for name in METRICS})


def norm(change: np.ndarray) -> float:
    """Its Euclidean length; math.sqrt of an exact sum, so that it is the same on every machine."""
    return math.sqrt(math.fsum((change * change).tolist()))


def implausible(updates: Sequence[Update], factor: float) -> dict[int, str]:
    """Worker: sentence, for every update that is too large beside the others.

    With three updates or more, one whose norm is more than `factor` times the median norm is refused: random weights
    are far from the global ones, and training on a part of the data moves every worker about as far. 0 turns it off.
    Where most workers do not move at all, whoever does is refused.
    """
    if not factor or len(updates) < 3:
        return {}
    norms = {update.worker: norm(update.change) for update in updates}
    middle = float(np.median(list(norms.values())))
    times = f"{{:.1f}} times the median {middle:.4g} (the guard lets {factor:g} pass)" if middle else \
        "and the median is 0"
    return {worker: f"its change has the norm {length:.4g}, " + times.format(length / (middle or 1.0))
            for worker, length in norms.items() if length > factor * middle}
