"""One program on two devices, every word compared: readouts, traces, weights, remainders and momenta."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import numpy as np

from .data import Data, SpikeSet, as_set
from .device import BatchResult, Device
from .loss import Loss
from .network import LayerState, Network, TrainingSpec
from .trainer import check_fit, cut, order_of

_TRACES = {"u": "membrane", "s": "spike", "m": "mask", "d": "error"}
_INFERRED = 64  # samples of the last comparison, forward only


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first word that differs.

    `batch` counts from 0 over all epochs, -1 after the last; `layer`, `step` and `neuron` are None where the
    word has none; `source` is the synapse's input (None for a bias). `values` are the two words as numbers.
    """

    kind: str
    batch: int
    sample: int | None
    layer: int | None
    step: int | None
    neuron: int | None
    source: int | None
    values: tuple[float, float]

    def __str__(self) -> str:
        places = [f"{name} {getattr(self, name)}" for name in ("layer", "step", "neuron", "sample")
                  if getattr(self, name) is not None]
        if self.source is not None:
            places.insert(len(places), f"from input {self.source}")
        when = "after training" if self.batch < 0 else f"batch {self.batch}"
        return f"{self.kind}: {', '.join([*places, when])}: {self.values[0]!r} and {self.values[1]!r}"


@dataclass(kw_only=True)
class Verification:
    """What was compared: words and differing words by kind, and the first difference, if any."""

    devices: tuple[str, str]
    batches: int = 0
    compared: Counter = field(default_factory=Counter)
    different: Counter = field(default_factory=Counter)
    first: Difference | None = None

    @property
    def equal(self) -> bool:
        return not self.different.total()

    def lines(self) -> list[str]:
        """A table of words compared and words that differ, by kind."""
        rows = [*((kind, words, self.different[kind]) for kind, words in self.compared.items()),
                ("all", self.compared.total(), self.different.total())]
        return [f"  {kind:<18}{words:>14,} words compared {differ:>10,} differ" for kind, words, differ in rows]

    def complaint(self) -> str:
        """One sentence about what differs, and where first."""
        return (f"{self.devices[0]} and {self.devices[1]} differ in {self.different.total():,} of "
                f"{self.compared.total():,} words; the first is {self.first}")

    def as_dict(self) -> dict:
        """Plain JSON values."""
        return {"devices": list(self.devices), "equal": self.equal, "batches": self.batches,
                "compared": dict(self.compared), "different": dict(self.different),
                "words": self.compared.total(), "differences": self.different.total(),
                "first": None if self.first is None else asdict(self.first) | {"text": str(self.first)}}

    def compare(self, kind: str, mine: np.ndarray, theirs: np.ndarray, *, batch: int, layer: int | None = None,
                 sample: int | None = None, axes: tuple[str, ...], last_step_first: bool = False) -> None:
        """Counts the words of two arrays whose `axes` are named sample, step, source or neuron."""
        if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
            raise AssertionError(f"{kind}: {mine.dtype} {mine.shape} and {theirs.dtype} {theirs.shape} do not compare")
        self.compared[kind] += mine.size
        unequal = mine.view(f"u{mine.itemsize}") != theirs.view(f"u{theirs.itemsize}")
        count = int(unequal.sum())
        self.different[kind] += count
        if count and self.first is None:
            # The earliest in time: errors run from the last step to the first.
            at = np.argwhere(unequal[::-1] if last_step_first else unequal)[0]
            if last_step_first:
                at[0] = len(unequal) - 1 - at[0]
            place = dict.fromkeys(("sample", "step", "neuron", "source")) | {"sample": sample}
            place |= {axis: int(value) for axis, value in zip(axes, at, strict=True)}
            values = (mine[tuple(at)].item(), theirs[tuple(at)].item())
            self.first = Difference(kind=kind, batch=batch, layer=layer, values=values, **place)

    def compare_batch(self, batch: int, one: BatchResult, two: BatchResult) -> None:
        """Compares traces, readouts and overflow flags of a batch, in the order in which they came about."""
        assert one.traces is not None and two.traces is not None, "accumulate(capture=True) gives traces"
        for sample, (left, right) in enumerate(zip(one.traces, two.traces, strict=True)):
            for layer, name, mine, theirs in _traces(left, right, names="usm"):
                self.compare(_TRACES[name], mine, theirs, batch=batch, layer=layer, sample=sample,
                              axes=("step", "neuron"))
            self.compare("readout", one.readouts[sample], two.readouts[sample], batch=batch, sample=sample,
                          layer=len(left) - 1, axes=("neuron",))
            for layer, name, mine, theirs in reversed(list(_traces(left, right, names="d"))):
                self.compare(_TRACES[name], mine, theirs, batch=batch, layer=layer, sample=sample,
                              axes=("step", "neuron"), last_step_first=True)
        flags = (np.array([result.overflow], np.uint8) for result in (one, two))
        self.compare("overflow flag", *flags, batch=batch, axes=("sample",))

    def compare_state(self, batch: int, one: list[LayerState], two: list[LayerState]) -> None:
        """Compares weights, remainders and momenta after `batch` batches."""
        for layer, (mine, theirs) in enumerate(zip(one, two, strict=True)):
            other = theirs.arrays()
            for name, array in mine.arrays().items():
                axes = ("source", "neuron") if array.ndim == 2 else ("neuron",)
                self.compare(name.replace("_", " "), array, other[name], batch=batch, layer=layer, axes=axes)


def _traces(left: list[dict], right: list[dict], *, names: str) -> Iterator[tuple]:
    """Layer, name and both arrays of each trace that both devices keep."""
    for layer, (mine, theirs) in enumerate(zip(left, right, strict=True)):
        for name in names:
            if mine.get(name) is not None and theirs.get(name) is not None:
                yield layer, name, mine[name], theirs[name]


def verify(network: Network, devices: tuple[Device, Device], data, *, training: TrainingSpec | None = None,
           epochs: int = 1, seed: int = 0, target: float = 1.0, other: float = 0.0, on_batch=None) -> Verification:
    """Trains `network` on both devices side by side and compares every word after every batch.

    `data` is as in `Trainer.fit`; so are the order of samples and the initial weights that `seed` decides. A
    batch that overflows on both is skipped, as the trainer does. Membranes and masks are compared where both
    devices keep them. At the end some samples are inferred on both. `on_batch(done, all)` is called after each.

    Raises
    ------
    Misfit, DataError
        If the network or the data do not fit; nothing has been compared then.
    DeviceError
        If a device no longer agrees with itself (`Device.check`).
    """
    training = training or TrainingSpec()
    training.check(network)
    loss = Loss(network, training, target=target, other=other)
    train = as_set(data, where="training data")
    check_fit(train, network, loss, "training data")
    tested: SpikeSet = data.test if isinstance(data, Data) and data.test is not None else train
    check_fit(tested, network, loss, "test data")
    state = network.initial_state(seed)
    for device in devices:
        device.load(network, training)
        device.write_state(state)
    result = Verification(devices=(devices[0].name, devices[1].name))
    result.compare_state(0, *(device.read_state() for device in devices))
    batches = epochs * -(-len(train) // training.batch)
    for epoch in range(epochs):
        for chosen in cut(order_of(len(train), seed=seed, epoch=epoch), training.batch):
            spikes, labels = train.spikes(chosen, network.steps), train.labels[chosen]
            one, two = (device.accumulate(spikes, **loss.request(labels), capture=True) for device in devices)
            result.compare_batch(result.batches, one, two)
            for device, done in zip(devices, (one, two), strict=True):
                if not done.overflow:
                    device.update(samples=len(chosen), learning_rate=training.learning_rate,
                                  momentum=training.momentum)
            result.compare_state(result.batches, *(device.read_state() for device in devices))
            result.batches += 1
            if on_batch is not None:
                on_batch(result.batches, batches)
    for device in devices:
        device.check()
    spikes = tested.spikes(np.arange(min(len(tested), _INFERRED)), network.steps)
    result.compare("inferred readout", *(device.infer(spikes) for device in devices), batch=-1,
                    layer=len(network.layers) - 1, axes=("sample", "neuron"))
    return result
