"""Forward, backward and gradient of an autapse network, run by run of nodes (see `autapse.Run`), in PyTorch.

    u[k,n] = rnd( mul(leak, v[k,n-1]) + sum of x W + sum of s[k,n-d] w + b )

Tensors are float64 that hold binary16 values. Where sweeps are independent, all steps of all samples are rows of one
pass; else the sweeps follow one another. Within a run, nodes are one matrix product; with a leak they are a chain too.
"""

from collections.abc import Sequence

import torch

from .autapse import Autapse, Run, runs_of
from .network import Layer
from .numeric import EXACT_TERMS, QUANTUM_BITS, Rounder, exact_dot, odd_sum
from .optimiser import Parameter, Rates
from .passes import TorchPasses

_UNIT = 2.0**QUANTUM_BITS


class AutapsePasses:
    """An autapse network and, where there are any, the layers that read it; see `passes.Passes`."""

    name = "torch"

    def __init__(
        self,
        layers: Sequence[Autapse | Layer],
        weights: Sequence[Parameter],
        biases: Sequence[Parameter | None],
        rnd: Rounder,
    ):
        first = layers[0]
        assert isinstance(first, Autapse), "Golden looks at the first layer before it chooses"
        self._network, self._weight, self._bias, self._rnd = first, weights[0], biases[0], rnd
        self._device = weights[0].value.device
        self._runs = runs_of(first, self._device)
        self._leak, self._threshold = float(first.leak), float(first.threshold)
        rest = [layer for layer in layers[1:] if isinstance(layer, Layer)]
        self._tail = TorchPasses(rest, weights[1:], biases[1:], rnd) if rest else None
        self._next_weight = weights[1] if rest else None
        self._x = self._u = self._s = self._m = torch.empty(0)
        self._d: torch.Tensor | None = None
        self._kept = 0
        self.outputs = torch.empty(0)

    @property
    def samples(self) -> int:
        """See `Passes.samples`."""
        return self._kept

    # Forward

    def forward(self, spikes: torch.Tensor, keep: bool) -> torch.Tensor:
        """See `Passes.forward`."""
        x = spikes.transpose(0, 1).to(torch.float64, memory_format=torch.contiguous_format)
        steps, samples, inputs = x.shape
        network = self._network
        sweeps = x.view(1, steps * samples, inputs) if network.independent else x
        matrices = [self._matrix(run, run.into, run.high - run.low) for run in self._runs]
        line = torch.zeros(sweeps.shape[1], 2 * network.nodes, dtype=torch.float64, device=self._device)
        u = torch.empty(*sweeps.shape[:2], network.nodes, dtype=torch.float64, device=self._device)
        s = torch.empty_like(u)
        v: torch.Tensor | None = None
        for k, sweep in enumerate(sweeps):
            line[:, :network.nodes] = line[:, network.nodes:]
            v = v if network.carry else None
            for run, matrix in zip(self._runs, matrices, strict=True):
                u[k, :, run.start:run.stop] = self._drive(run, matrix, sweep, line)
                v = self._fire(u[k], line[:, network.nodes:], run, v, last=k + 1 == len(sweeps))
            s[k] = line[:, network.nodes:]
        u, s = u.view(steps, samples, -1), s.view(steps, samples, -1)
        read = s[:, :, network.read_from:].transpose(0, 1)
        self.outputs = read.to(torch.uint8)
        y = self._tail.forward(self.outputs, keep) if self._tail else (read.sum(dim=1) * _UNIT).to(torch.int64)
        if keep:
            self._x, self._u, self._s, self._d = x, u, s, None
            self._m, self._kept = (u - self._threshold).abs_() < network.half_width, samples
        return y

    def _matrix(self, run: Run, edges: tuple[torch.Tensor, torch.Tensor, torch.Tensor], rows: int) -> torch.Tensor:
        row, column, index = edges
        matrix = torch.zeros(rows, run.width, dtype=torch.float64, device=self._device)
        matrix[row, column] = self._weight.value[self._network.input_words + index]
        return matrix

    def _drive(self, run: Run, matrix: torch.Tensor, x: torch.Tensor, line: torch.Tensor) -> torch.Tensor:
        """The exact sum but for the leak; `Autapse` has counted its terms."""
        network, nodes = self._network, slice(run.start, run.stop)
        drive = line[:, run.low:run.high] @ matrix
        if run.stop <= network.input_nodes:
            words = self._weight.value[:network.input_words]
            if network.pixel:
                drive += x[:, nodes] * words
            else:
                drive += x @ words.view(network.inputs, network.input_nodes)[:, nodes]
        return drive if self._bias is None else drive.add_(self._bias.value[nodes])

    def _fire(
        self, u: torch.Tensor, s: torch.Tensor, run: Run, v: torch.Tensor | None, *, last: bool
    ) -> torch.Tensor | None:
        """Rounds the sums in `u`, puts the run's spikes into `s`, and gives the last node's v."""
        if not self._leak:
            nodes = slice(run.start, run.stop)
            u[:, nodes] = self._rnd(u[:, nodes])
            s[:, nodes] = self._fired(u[:, nodes])
            return None
        for n in range(run.start, run.stop):
            drive = u[:, n] if v is None else u[:, n] + self._rnd(v * self._leak)
            now = u[:, n] = self._rnd(drive)
            fired = self._fired(now)
            s[:, n] = fired
            if n + 1 == self._network.nodes and (last or not self._network.carry):
                return None  # of no use: it must raise no overflow
            if self._network.soft:
                v = self._rnd(now - self._threshold * fired)
            else:
                v = now.masked_fill(fired, 0.0)
        return v

    def _fired(self, u: torch.Tensor) -> torch.Tensor:
        return u > self._threshold if self._network.strict else u >= self._threshold

    # Loss and backward

    def loss_error(self, y: torch.Tensor, targets: torch.Tensor, share: float, factor: float) -> torch.Tensor:
        """See `Passes.loss_error`."""
        return TorchPasses.loss_error(self, y, targets, share, factor)  # pyright: ignore[reportArgumentType]

    def backward(self, g: torch.Tensor) -> None:
        """See `Passes.backward`. Without independent sweeps only what reads the nodes has one."""
        network, (steps, samples, nodes) = self._network, self._u.shape
        if self._tail:
            self._tail.backward(g)
        self._d = torch.zeros_like(self._u)
        if not network.independent:
            return
        read = slice(network.read_from, None)
        error = torch.zeros_like(self._u)
        if self._tail and self._next_weight is not None:
            later = self._tail.errors()
            products = exact_dot(later.reshape(steps * samples, -1), self._next_weight.value.T)
            products = products.view(steps, samples, -1) * self._m[:, :, read]
            error[:, :, read] = self._rnd(products)
        else:
            error[:, :, read] = g.to(self._device).to(torch.float64).transpose(0, 1)
        mask = self._m.to(torch.float64)
        flat = [tensor.view(steps * samples, nodes) for tensor in (self._d, error, self._u, self._s, mask)]
        d, error, u, s, m = flat
        later = None
        for run in reversed(self._runs):
            here = slice(run.start, run.stop)
            into = error[:, here] * m[:, here]
            if run.beyond:
                matrix = self._matrix(run, run.out, run.beyond - run.after)
                products = exact_dot(d[:, run.after:run.beyond], matrix) * m[:, here]
                # Rounding to odd twice is as good as once: whatever the sum loses lies far below 2^-24, or saturates.
                into = self._rnd(odd_sum(into, products))
            later = self._errors(run, into, d, u, s, m, later)

    def _errors(
        self,
        run: Run,
        into: torch.Tensor,
        d: torch.Tensor,
        u: torch.Tensor,
        s: torch.Tensor,
        m: torch.Tensor,
        later: torch.Tensor | None,
    ) -> torch.Tensor | None:
        """The run's d from the errors G on its spikes, 0 where the mask is; as `Neurons.backward`, nodes for steps."""
        height = 0.5 / self._network.half_width
        if not self._leak:
            d[:, run.start:run.stop] = self._rnd(into * height)
            return None
        for n in reversed(range(run.start, run.stop)):
            e = into[:, n - run.start]
            if not self._network.detach:
                gate = self._rnd(m[:, n] * (self._threshold if self._network.soft else u[:, n]) * self._leak)
                if later is not None:
                    e = self._rnd(e - gate * later)
            e = e * height
            if later is not None:
                leak = later * self._leak
                e += self._rnd(leak if self._network.soft else leak.masked_fill_(s[:, n].bool(), 0.0))
            later = d[:, n] = self._rnd(e)
        return later

    # Gradient and update

    def add_gradient(self) -> None:
        """See `Passes.add_gradient`."""
        network = self._network
        if self._tail:
            self._tail.add_gradient()
        if not network.independent or self._d is None:
            return
        rows = [tensor.reshape(-1, tensor.shape[2]) for tensor in (self._x, self._s, self._d)]
        for x, s, d in zip(*(tensor.split(EXACT_TERMS) for tensor in rows), strict=True):
            self._weight.add_units(self._word_sums(x, s, d).cpu().numpy())
            if self._bias is not None:
                self._bias.add(d.sum(dim=0), terms=len(d))

    def _word_sums(self, x: torch.Tensor, s: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
        """int64 in units of 2^-24 of every stored weight, over at most 2^13 rows; what shares a word is added there."""
        network = self._network
        sums = torch.zeros(network.weight_shape, dtype=torch.int64, device=self._device)
        first = d[:, :network.input_nodes]
        if network.pixel:
            sums[0] = _units((x * first).sum(dim=0)).sum()
        else:
            sums[:network.input_words] = _units(x.T @ first).view(-1)
        edges = sums[network.input_words:]
        for run in self._runs:
            if run.high:
                low, high = (end - network.nodes for end in (run.low, run.high))
                row, column, index = run.into
                products = s[:, low:high].T @ d[:, run.start:run.stop]
                edges.index_add_(0, index, _units(products[row, column]))
        return sums

    def update(self, parameter: Parameter, rates: Rates) -> None:
        """See `Passes.update`. Words of a network without backward pass stay as they are."""
        if not self._network.independent and (parameter is self._weight or parameter is self._bias):
            parameter.clear()
        else:
            parameter.update(self._rnd, rates)

    def traces(self) -> list[dict[str, torch.Tensor]]:
        """See `Passes.traces`."""
        if not self._kept:
            return []
        words = {"u": self._u, "s": self._s, "m": self._m} | ({} if self._d is None else {"d": self._d})
        rest = self._tail.traces() if self._tail else []
        return [{name: word.transpose(0, 1) for name, word in words.items()}, *rest]


def _units(sums: torch.Tensor) -> torch.Tensor:
    return (sums * _UNIT).to(torch.int64)
