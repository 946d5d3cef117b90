"""One program on one chip or model: what the trainer needs, whatever computes it."""

import abc
import importlib
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from .errors import DataError, DeviceError
from .network import LayerState, Network, TrainingSpec

ONE = 1 << 24  # a spike in units of readouts
_BETWEEN = re.compile(r",|:(?=\w+=)")   # a port may have colons in its name

KINDS = {
    "golden": (".devices.golden", "open_golden", "golden", "the PyTorch golden model, golden:cuda on a GPU"),
    "sim": (".devices.sim", "open_sim", "sim",
            "the chip in simulation, sim:lanes=8,units=2 chooses its capacity, sim:mesh=3x2 a mesh of cores"),
    "serial": (".devices.serial", "open_serial", "serial",
               "a board, serial:/dev/ttyUSB0, serial:/dev/ttyUSB0:baud=115200"),
}


@dataclass(kw_only=True)
class BatchResult:
    """What a batch left behind.

    Fields
    ------
    readouts
        int64 (B, C), exact, in units of 2^-24.
    overflow
        True if a rounding saturated; such a batch must not be applied.
    traces
        With capture, per sample and layer a dict of arrays (T, n): `u` float16 (None where the device keeps no
        membranes), `s` uint8, `m` uint8 and `d` float16 (None where the layer has none). Otherwise None.
    """

    readouts: np.ndarray
    overflow: bool
    traces: list[list[dict[str, np.ndarray | None]]] | None = None


class Device(abc.ABC):
    """One program on one chip or model.

    The order of use is `load`, `write_state`, then any of `infer`, `accumulate` followed by `update`,
    `read_state`. `accumulate` starts a new batch; what an earlier one left without `update` is forgotten.

    Members
    -------
    name : str
        How the user named it, for messages and reports.
    """

    name: str = "device"

    @abc.abstractmethod
    def load(self, network: Network, training: TrainingSpec | None) -> None:
        """Makes `network` this device's program; `training` None is for inference alone.

        Raises
        ------
        Misfit
            If the network or the batch is larger than the device; nothing has been written then.
        """

    @abc.abstractmethod
    def write_state(self, state: Sequence[LayerState]) -> None:
        """Writes every weight, remainder and momentum."""

    @abc.abstractmethod
    def read_state(self) -> list[LayerState]:
        """Reads every weight, remainder and momentum back."""

    @abc.abstractmethod
    def infer(self, spikes: np.ndarray) -> np.ndarray:
        """Readouts, int64 (N, C) in units of 2^-24, of spikes uint8 (N, T, inputs)."""

    @abc.abstractmethod
    def accumulate(self, spikes: np.ndarray, *, targets: np.ndarray | None = None,
                   error: Callable[[np.ndarray, int], np.ndarray] | None = None,
                   capture: bool = False) -> BatchResult:
        """Forward and backward of a whole batch of spikes uint8 (B, T, inputs).

        Exactly one of `targets`, float16 (B, C), for mean squared error on the device, and `error`, which makes
        the float16 (C,) errors of every step, loss scale included, from one sample's int64 readouts and its
        index in the batch.
        """

    @abc.abstractmethod
    def update(self, *, samples: int, learning_rate: float, momentum: float) -> bool:
        """Applies the accumulated batch of `samples` samples; returns True if a rounding saturated."""

    def check(self) -> None:  # noqa: B027  nothing to check is the rule
        """Refuses to go on where what the device keeps more than once is no longer the same.

        A mesh keeps weights at two cores; everybody else keeps everything once.

        Raises
        ------
        DeviceError
            What differs, and where.
        """

    def counters(self) -> dict[str, dict[str, int]]:
        """Cycles by engine since `load`: "busy", "skipped", "stalled", and "dense", what no sparsity would take.

        On a mesh an engine's cycles are those of all cores together, the chip's "cycles" those that passed.
        Empty for a device without cycles.
        """
        return {}

    def timeline(self) -> list[tuple[int, frozenset[str]]]:
        """Who was at work as the first batch since `load` ended: (cycle, engines at work from then on), oldest first.

        Empty for a device without cycles, and before an update.
        """
        return []

    def line(self) -> dict[str, float]:
        """What has gone over the line to the device since it was opened, see `LinkStatistics`; empty without one."""
        return {}

    def info(self) -> dict:
        """What the device says it is, as plain JSON values."""
        return {"name": self.name}

    @abc.abstractmethod
    def close(self) -> None:
        """Gives back what the device holds; it cannot be used afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def checked_spikes(spikes, network: Network) -> np.ndarray:
    """`spikes` as uint8 (N, T, inputs) of 0 and 1 for `network`, or a DataError that says what is wrong."""
    array = np.asarray(spikes)
    if array.ndim != 3 or array.shape[1:] != (network.steps, network.inputs):
        raise DataError(f"spikes must have shape (samples, {network.steps} steps, {network.inputs} inputs) for this "
                        f"network, not {array.shape}")
    if array.dtype.kind not in "bui":
        raise DataError(f"spikes must be whole numbers 0 and 1, not {array.dtype}")
    if array.size and (array.max() > 1 or array.min() < 0):
        raise DataError(f"spikes must be 0 or 1, not {array.max() if array.max() > 1 else array.min()}")
    return np.ascontiguousarray(array, np.uint8)


def checked_batch(spikes, network: Network, training: TrainingSpec | None, *, name: str, targets, error) -> np.ndarray:
    """`checked_spikes` of a batch that `accumulate` of the device called `name` was asked for; for what it was loaded.

    Raises
    ------
    DeviceError
        If it was loaded for inference or for smaller batches, or there are targets and an error function, or neither.
    DataError
        If the spikes are not for this network.
    """
    if training is None:
        raise DeviceError(f"{name} was loaded for inference; load it with a TrainingSpec to train")
    if (targets is None) == (error is None):
        raise DeviceError("accumulate takes either targets or an error function")
    spikes = checked_spikes(spikes, network)
    if len(spikes) > training.batch:
        raise DeviceError(f"a batch of {len(spikes)} samples is more than the {training.batch} that {name} was loaded "
                          "for")
    return spikes


def check_update(training: TrainingSpec | None, *, name: str, pending: int | None, samples: int,
                 momentum: float) -> None:
    """Refuses, with a DeviceError, an update of other than the `pending` samples, and momentum that is not kept."""
    if pending != samples:
        raise DeviceError(f"update of {samples} samples follows no accumulate of as many")
    if momentum and not (training and training.momentum):
        raise DeviceError(f"{name} was loaded without momentum and keeps none; load it with momentum to use it")


def _option(text: str) -> int | float | bool | str:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def open(name: str, **options) -> Device:
    """Opens a device by name: "golden", "golden:cuda", "sim", "sim:lanes=8,units=2", "serial:/dev/ttyUSB0:baud=115200".

    What follows the colon is an argument, options `key=value`, or both, separated by commas, or by colons before
    options; `options` adds more.

    Raises
    ------
    DeviceError
        If the name or an option is unknown, or a package that the device needs is not installed.
    """
    kind, _, rest = str(name).partition(":")
    if kind not in KINDS:
        raise DeviceError(f"there is no device {name!r}; known are {', '.join(KINDS)}")
    argument = None
    for item in filter(None, _BETWEEN.split(rest)):
        key, equals, value = item.partition("=")
        if equals:
            options[key.strip()] = _option(value.strip())
        elif argument is None:
            argument = item
        else:
            raise DeviceError(f"device {name!r} has two arguments, {argument!r} and {item!r}; options are key=value")
    module, opener, extra, _ = KINDS[kind]
    try:
        make = getattr(importlib.import_module(module, __package__), opener)
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("autapse."):
            raise DeviceError(f"this version has no device {kind!r}") from None
        raise DeviceError(f"device {kind!r} needs {missing.name}, which is not installed"
                          + (f"; try pip install 'autapse[{extra}]'" if extra else "")) from None
    except AttributeError:
        raise DeviceError(f"this version has no device {kind!r}") from None
    known = inspect.signature(make).parameters.values()
    for key in options:
        if not any(entry.kind is entry.VAR_KEYWORD or entry.name == key for entry in known):
            raise DeviceError(f"device {kind!r} has no option {key!r}")
    device = make(argument, **options)
    device.name = str(name)
    return device
