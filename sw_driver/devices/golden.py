"""The golden model as a device: PyTorch in place of the chip, the same bits."""

from typing import Any

import numpy as np
import torch

from ...verification.golden.model import Autapse, Golden, Layer, NoKernel, Rules
from ..autapse_layers import AutapseLayer
from ..device import BatchResult, Device, check_update, checked_batch, checked_spikes
from ..errors import DeviceError, Misfit
from ..half import half, half_scalar
from ..network import LayerState, checked_state
from ..prototypes import Prototypes

_STATE = {"weight": "weight", "remainder": "weight_remainder", "momentum": "weight_momentum",
          "bias": "bias", "bias_remainder": "bias_remainder", "bias_momentum": "bias_momentum"}
_CHUNK_VALUES = 1 << 22  # float64 values of spikes or membranes held at once while inferring


class GoldenDevice(Device):
    """The golden model. Holds any network.

    Parameters
    ----------
    where : str
        PyTorch's name of the processor, "cpu" or "cuda".
    threads : int or None
        Threads of PyTorch; None leaves them as they are.
    kernel : str or None
        "native" (C++, compiled here), "torch", or None: native where it can be had. The bits are the same.
    """

    name = "golden"

    def __init__(self, where: str = "cpu", *, threads: int | None = None, kernel: str | None = None):
        self._where, self._threads, self._kernel = where, threads, kernel
        self._golden: Golden | None = None
        self._pending: int | None = None
        self._prototypes: Prototypes | None = None

    def load(self, network, training):
        read = network.prototypes
        try:
            layers = [_layer(spec) for spec in network.layers if spec is not read]
        except ValueError as error:
            raise Misfit(f"the golden model cannot compute {network}: {error}") from None
        self._prototypes = None if read is None else Prototypes(read, training)
        if training is None:
            rules = Rules(steps=network.steps)
        else:
            training.check(network)
            rules = Rules(steps=network.steps, loss_scale=training.loss_scale,
                          momentum_exponent=training.momentum_exponent)
        self._network, self._training = network, training
        try:
            self._golden = Golden(layers, rules, device=self._where, threads=self._threads, kernel=self._kernel)
        except NoKernel as error:
            raise DeviceError(str(error)) from None
        self._pending = None

    def _model(self) -> Golden:
        if self._golden is None:
            raise DeviceError(f"{self.name} has no program; call load(network, training) first")
        return self._golden

    def write_state(self, state):
        self._pending = None
        words = {}
        checked = checked_state(self._loaded().layers, state)
        if self._prototypes is not None:
            self._prototypes.write(checked.pop())
        for index, layer in enumerate(checked):
            words |= {f"{index}.{_STATE[name]}": array for name, array in layer.arrays().items()}
        self._model().set_state(words)

    def _loaded(self):
        self._model()
        return self._network

    def read_state(self):
        words = self._model().get_state()
        if self._training is None or not self._training.momentum:
            # A program without momentum has no use for M, and a chip then keeps none.
            words |= {name: np.zeros_like(array) for name, array in words.items() if name.endswith("_momentum")}
        read = [] if self._prototypes is None else [self._prototypes.read()]
        return [LayerState.from_arrays({name: words[f"{index}.{golden}"] for name, golden in _STATE.items()
                                        if f"{index}.{golden}" in words})
                for index in range(len(self._network.layers) - len(read))] + read

    def infer(self, spikes):
        self._model()
        spikes = checked_spikes(spikes, self._network)
        widest = max(self._network.inputs, *(max(layer.bias_shape) for layer in self._network.layers))
        chunk = max(1, _CHUNK_VALUES // (widest * self._network.steps))
        parts = [self._readouts(spikes[start:start + chunk], keep=False)
                 for start in range(0, len(spikes), chunk)]
        return np.concatenate([np.zeros((0, self._network.classes), np.int64), *parts])

    def _readouts(self, spikes: np.ndarray, *, keep: bool) -> np.ndarray:
        golden = self._model()
        y = golden.forward(torch.from_numpy(spikes), keep=keep).y
        return y if self._prototypes is None else self._prototypes.readouts(golden.codes())

    def accumulate(self, spikes, *, targets=None, error=None, capture=False):
        golden = self._model()
        spikes = checked_batch(spikes, self._network, self._training, name=self.name, targets=targets, error=error)
        self._pending = None
        golden.clear_overflow()
        golden.clear_gradient()
        readouts = self._readouts(spikes, keep=True)
        if error is not None:
            errors = half(np.stack([error(readout, index) for index, readout in enumerate(readouts)]),
                          "targets and errors")
        else:
            errors = golden.loss_error(readouts, half(targets, "targets and errors"))
        if self._prototypes is not None:
            slopes = errors.astype(np.float64)
            errors = self._prototypes.errors(slopes, self._network.steps)
            self._prototypes.clear()
            self._prototypes.accumulate(golden.codes(), slopes)
        golden.backward(errors)
        self._pending = len(spikes)
        traces = None
        if capture:
            layers = golden.traces() + [{}] * (self._prototypes is not None)
            traces = [[{name: array[sample] for name, array in layer.items()} for layer in layers]
                      for sample in range(len(spikes))]
        return BatchResult(readouts=readouts, overflow=golden.overflow, traces=traces)

    def update(self, *, samples, learning_rate, momentum):
        golden = self._model()
        check_update(self._training, name=self.name, pending=self._pending, samples=samples, momentum=momentum)
        self._pending = None
        golden.clear_overflow()
        rates = half_scalar(learning_rate, "learning rate"), half_scalar(momentum, "momentum")
        golden.update(samples, *rates)
        if self._prototypes is not None:
            self._prototypes.update(samples=samples, learning_rate=rates[0], momentum=rates[1])
        return golden.overflow

    def info(self):
        return {"name": self.name, "torch": torch.__version__, "where": self._where,
                "threads": torch.get_num_threads(), "kernel": self._golden.kernel if self._golden else self._kernel}

    def close(self):
        self._golden = None


def _layer(spec) -> Layer | Autapse:
    common: dict[str, Any] = {"bias": spec.bias, "threshold": spec.threshold, "half_width": spec.half_width,
                              "soft": spec.reset == "soft", "detach": spec.detach, "strict": spec.strict}
    if not isinstance(spec, AutapseLayer):
        return Layer(inputs=spec.inputs, outputs=spec.outputs, decay=spec.decay, spiking=spec.spiking, **common)
    network = spec.spec
    edges = np.array([(node, *pair) for node, pairs in enumerate(network.edges) for pair in pairs], np.int64)
    targets, delays, indices = edges.reshape(-1, 3).T
    common["threshold"] = np.float16(network.threshold)
    matrices = network.structure == "mlp" and not network.time_invariant
    return Autapse(inputs=network.inputs, nodes=network.nodes, input_nodes=network.input_nodes, targets=targets,
                   delays=delays, indices=indices, edge_words=network.weights, read_from=network.read_from,
                   leak=np.float16(network.leak), pixel=network.input == "pixel", recurrent=network.recurrent,
                   carry=network.carry, segments=network.segments if matrices else None,
                   **common)


def open_golden(argument: str | None, *, threads: int | None = None, kernel: str | None = None) -> GoldenDevice:
    """The golden model on "cpu" (None) or on what PyTorch calls `argument`; see `GoldenDevice`.

    Raises
    ------
    DeviceError
        If PyTorch cannot compute there, or there is no such kernel for it.
    """
    where = argument or "cpu"
    if kernel not in (None, "torch", *(("native",) if where.startswith("cpu") else ())):
        raise DeviceError(f"the golden model on {where} has no kernel {kernel!r}; name torch, or on cpu native")
    try:
        torch.zeros(1, device=where)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"PyTorch has no device {where!r} here: {str(error).splitlines()[0]}") from None
    return GoldenDevice(where, threads=threads, kernel=kernel)
