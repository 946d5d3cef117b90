"""What a network does on data: who spikes, who has a mask, who has an error; and how much work that is, by group."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...hw.contract.chip import MAP_BITS
from ..errors import SpecError
from ..half import whole
from ..network import Network
from ..randomness import uniform
from .timing import FETCH, GROUP_PAUSE, HISTORY_ITEM, HISTORY_ROW, SCAN_FAR, SCAN_LAG

# What is assumed of data that nobody has seen: shares of neurons that spike in a step and that have an error, and of
# groups of eight neurons with a set mask.
SPIKES, ERRORS, MASKED = 0.15, 0.3, 0.5
ASSUMED_SAMPLES = 4


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Which neurons did what in some samples.

    Fields
    ------
    spikes : bool (N, T, n) of the inputs and then of every layer
    masks, errors : bool (N, T, n) of every layer: surrogate mask set, error other than zero
    source : where it is from, for people
    """

    spikes: tuple[np.ndarray, ...]
    masks: tuple[np.ndarray, ...]
    errors: tuple[np.ndarray, ...]
    source: str

    @property
    def samples(self) -> int:
        return len(self.spikes[0])

    def densities(self) -> dict[str, list[float]]:
        """Shares of set bits: spikes of inputs and layers, masks and errors of layers."""
        return {"spikes": [float(bits.mean()) for bits in self.spikes],
                "masks": [float(bits.mean()) for bits in self.masks],
                "errors": [float(bits.mean()) for bits in self.errors]}


def assumed_activity(network: Network, *, samples: int = ASSUMED_SAMPLES, seed: int = 0, spikes: float = SPIKES,
                     errors: float = ERRORS, masked: float = MASKED) -> Activity:
    """Independent bits of the given shares; `masked` is that of groups of eight neurons with a mask.

    Raises
    ------
    SpecError
        If a share is not from 0 to 1, or there is no sample.
    """
    for name, share in (("spikes", spikes), ("errors", errors), ("masked", masked)):
        if not 0 <= share <= 1:
            raise SpecError(f"the assumed share of {name} must be from 0 to 1, not {share!r}")
    samples = whole(samples, "samples", least=1)
    mask = 1 - (1 - masked) ** (1 / 8)

    def bits(kind: int, index: int, neurons: int, share: float) -> np.ndarray:
        return uniform((samples, network.steps, neurons), seed, kind, index) < 2 * share - 1

    widths = [layer.outputs for layer in network.layers]
    return Activity(
        spikes=tuple(bits(0, index, width, spikes) for index, width in enumerate((network.inputs, *widths))),
        masks=tuple(bits(1, index, width, mask) for index, width in enumerate(widths)),
        errors=tuple(bits(2, index, width, errors) for index, width in enumerate(widths)),
        source=f"assumed: {100 * spikes:g} % spikes, {100 * errors:g} % errors, {100 * masked:g} % of groups of 8 with "
               "a mask")


def measured_activity(network: Network, spikes: np.ndarray, traces: Sequence[Sequence[dict]], *,
                      source: str = "measured") -> Activity:
    """Of input spikes (N, T, inputs) and the traces that `Device.accumulate(capture=True)` gave of them.

    Raises
    ------
    SpecError
        If there is no sample, or the traces are of another network or another number of samples.
    """
    if not len(traces) or len(traces) != len(spikes):
        raise SpecError(f"work is measured from at least one sample and its traces, not from {len(spikes)} samples "
                        f"and {len(traces)} traces")

    def stack(index: int, name: str) -> np.ndarray:
        width = network.layers[index].outputs
        shape = (network.steps, width)
        parts = [trace[index][name] for trace in traces]
        bits = np.stack([np.zeros(shape, bool) if part is None else np.asarray(part) != 0 for part in parts])
        if bits.shape[1:] != shape:
            raise SpecError(f"traces of layer {index} are of {bits.shape[1]} steps and {bits.shape[2]} neurons, the "
                            f"network has {network.steps} and {width}")
        return bits

    layers = range(len(network.layers))
    return Activity(spikes=(np.asarray(spikes) != 0, *(stack(index, "s") for index in layers)),
                    masks=tuple(stack(index, "m") for index in layers),
                    errors=tuple(stack(index, "d") for index in layers), source=source)


def by_group(bits: np.ndarray, lanes: int) -> np.ndarray:
    """Set bits per group of `lanes` neurons: (…, n) to (…, groups)."""
    groups = -(-bits.shape[-1] // lanes)
    padded = np.zeros((*bits.shape[:-1], groups * lanes), bool)
    padded[..., :bits.shape[-1]] = bits
    return padded.reshape(*bits.shape[:-1], groups, lanes).sum(-1)


def scan_cycles(counts: np.ndarray) -> np.ndarray:
    """Cycles in which a scanner lists the set lanes of rows with `counts` (…, rows) of them; (…).

    A row a cycle comes at most, an event a cycle leaves; rows without events are dropped, but for the last.
    """
    takes = np.array(counts)
    takes[..., -1] = np.maximum(takes[..., -1], 1)
    before = np.cumsum(takes, -1) - takes       # events that the rows before have
    # Row r is in hand at max over rows k <= r of k + what rows k..r-1 take.
    late = np.maximum.accumulate(np.where(takes > 0, np.arange(takes.shape[-1]) - before, 0), -1)
    return late[..., -1] + takes.sum(-1)


@dataclass(frozen=True, kw_only=True)
class LayerWork:
    """Of one layer, cycles per sample.

    Fields
    ------
    forward, backward, update : float (groups,), what a group of outputs keeps an engine busy: its visits, or the
        neuron units' beats where they are more; the update's share of a batch, its gradient included
    scan_forward, scan_backward, history : what every core with a cut of the layer takes at least, however small the
        cut: listing events of all inputs, of all errors of the next layer, and keeping the inputs' spikes
    item : what a cut adds to each engine besides
    """

    forward: np.ndarray
    backward: np.ndarray
    update: np.ndarray
    scan_forward: float
    scan_backward: float
    history: float
    item: float

    @property
    def groups(self) -> int:
        return len(self.forward)


@dataclass(frozen=True, kw_only=True)
class Work:
    """Of every layer of a network on cores with `lanes` and `units`; `visits` per sample, by engine, is the bound."""

    lanes: int
    units: int
    layers: tuple[LayerWork, ...]
    visits: dict[str, float]
    source: str


def hits_of(activity: Activity, layer: int, lanes: int, *, bias: bool) -> np.ndarray:
    """Steps of all samples in which an input spiked and a group of outputs had an error: (inputs and bias, groups)."""
    active = (by_group(activity.errors[layer], lanes) > 0).reshape(-1, -(-activity.errors[layer].shape[-1] // lanes))
    fired = activity.spikes[layer].reshape(len(active), -1).astype(np.float32)
    if bias:
        fired = np.hstack([fired, np.ones((len(fired), 1), np.float32)])
    return np.rint(fired.T @ active.astype(np.float32)).astype(np.int64)


def work_of(network: Network, activity: Activity, *, lanes: int, units: int, batch: int) -> Work:
    """The work of a network by layer and group, from what it does on data; updates come every `batch` samples."""
    beats, steps = lanes // units, network.steps
    layers = []
    visits: dict[str, float] = dict.fromkeys(("forward", "backward", "gradient"), 0.0)
    for index, layer in enumerate(network.layers):
        groups = -(-layer.outputs // lanes)
        rows = by_group(activity.spikes[index], lanes)                          # (N, T, input groups)
        events = activity.spikes[index].sum(-1) + layer.bias                    # (N, T)
        forward = np.maximum(events, beats).sum(1).mean()
        visits["forward"] += groups * events.sum(1).mean()
        backward, scan_backward = np.full(groups, float(beats * steps)), 0.0
        if index + 1 < len(network.layers):
            errors = activity.errors[index + 1].sum(-1)                         # (N, T)
            wanted = by_group(activity.masks[index], lanes) > 0                 # (N, T, groups)
            sums = wanted * errors[..., None]
            backward = np.maximum(sums, beats).sum(1).mean(0)
            visits["backward"] += sums.sum((1, 2)).mean()
            scan_backward = (scan_cycles(by_group(activity.errors[index + 1], lanes)) + SCAN_FAR).sum(1).mean()
        hits = hits_of(activity, index, lanes, bias=layer.bias)
        words = -(-batch * steps // MAP_BITS)
        # A batch is as the samples at hand, more or fewer of them.
        scaled = hits * (batch / activity.samples)
        update = np.maximum(scaled, max(words, FETCH, beats + GROUP_PAUSE)).sum(0) / batch
        visits["gradient"] += hits.sum() / activity.samples
        layers.append(LayerWork(
            forward=np.full(groups, float(forward)), backward=backward, update=update,
            scan_forward=float((scan_cycles(rows) + SCAN_LAG + layer.bias).sum(1).mean()),
            scan_backward=float(scan_backward),
            history=float(((np.maximum(rows, HISTORY_ROW)).sum(-1) + HISTORY_ITEM).sum(1).mean()), item=3.0 * steps))
    return Work(lanes=lanes, units=units, layers=tuple(layers), visits=visits, source=activity.source)
