"""One weight matrix or bias vector with its remainder, momentum and exact gradient sum."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from .numeric import EXACT_TERMS, QUANTUM_BITS, Rounder, from_units

_BLOCK = 2**14  # words updated at a time, so that the intermediate tensors stay in the cache
_MOST_TERMS = 2**22  # int64 in units of 2^-24 holds twice as many binary16 values of greatest magnitude


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The factors of one update: rnd(1/B) 2^(k - log2 S), eta 2^(10 - k) and mu."""

    share: float
    rate: float
    momentum: float


class Parameter:
    """Words W, R and M of one shape, and the gradient sum G of the batch.

    G is float64 while at most 2^13 terms are in it, which is exact, and int64 in units of 2^-24 beyond.

        M <- rnd(mul(mu, M) + mul(rnd(1/B), G, k - log2 S))
        p  = mul(eta, M, 10 - k)
        x  = W + 2^-10 (R - p)
        W' = rnd(x),  R <- rnd(2^10 (x - W')),  W <- W'
    """

    PARTS = ("", "_remainder", "_momentum")

    def __init__(self, shape: tuple[int, ...], device: torch.device):
        self.value, self.remainder, self.momentum = (
            torch.zeros(shape, dtype=torch.float64, device=device) for _ in self.PARTS
        )
        self._room: torch.Tensor | None = None  # for integers, kept from batch to batch
        self.clear()

    # Words

    def _tensors(self) -> dict[str, torch.Tensor]:
        return dict(zip(self.PARTS, (self.value, self.remainder, self.momentum), strict=True))

    def words(self) -> dict[str, np.ndarray]:
        return {part: tensor.to(torch.float16).cpu().numpy() for part, tensor in self._tensors().items()}

    def check(self, name: str, array: np.ndarray) -> None:
        """Raise unless the array is finite float16 of this shape."""
        if getattr(array, "dtype", None) != np.float16:
            raise TypeError(f"{name} must be a float16 array, not {getattr(array, 'dtype', type(array).__name__)}")
        if array.shape != tuple(self.value.shape):
            raise ValueError(f"{name} must have shape {tuple(self.value.shape)}, not {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite: binary16 here has no infinity and no NaN")

    def set(self, parts: Mapping[str, np.ndarray]) -> None:
        for part, tensor in self._tensors().items():
            if part in parts:
                tensor.copy_(torch.from_numpy(parts[part].astype(np.float64)))
            elif "" in parts:
                tensor.zero_()

    # Gradient

    def clear(self) -> None:
        self._total: torch.Tensor | None = None
        self._terms = 0

    def add(self, total: torch.Tensor, *, terms: int) -> None:
        """Add an exact float64 sum of at most 2^13 binary16 values."""
        self._count(terms)
        if self._total is None:
            self._total = total
        elif self._total.dtype == torch.float64 and self._terms <= EXACT_TERMS:
            self._total += total
        else:
            self._total = self.integers() + _to_units(total)

    def add_units(self, units: np.ndarray) -> None:
        """Add an exact sum in units of 2^-24, of as many terms as its greatest magnitude needs at least."""
        if getattr(units, "dtype", None) != np.int64 or units.shape != tuple(self.value.shape):
            raise TypeError(f"a gradient sum must be an int64 array of shape {tuple(self.value.shape)}")
        self._count(max(1, -(-int(np.abs(units).max()) >> 40)))
        self._total = self.integers() + torch.from_numpy(units).to(self.value.device)

    def units(self) -> np.ndarray:
        """A copy of the sum as int64 in units of 2^-24."""
        return self.integers().cpu().numpy().copy()

    def sums(self, *, terms: int) -> tuple[torch.Tensor, bool]:
        """Where the caller puts sums of `terms` binary16 values, int64 in units of 2^-24, and whether on top of others.

        If not, whatever is there is of no use.
        """
        self._count(terms)
        if self._total is not None:
            self._total = self.integers()
            return self._total, True
        self._total = self._room = torch.empty_like(self.value, dtype=torch.int64) if self._room is None else self._room
        return self._total, False

    def _count(self, terms: int) -> None:
        if self._terms + terms > _MOST_TERMS:
            raise ValueError(f"a batch may have at most {_MOST_TERMS} samples times steps; take a smaller batch")
        self._terms += terms

    def integers(self) -> torch.Tensor:
        """The sum as an int64 tensor in units of 2^-24; not to be written to."""
        if self._total is None:
            return torch.zeros_like(self.value, dtype=torch.int64)
        return _to_units(self._total) if self._total.dtype == torch.float64 else self._total

    # Update

    def update(self, rnd: Rounder, rates: Rates) -> None:
        """One step; the sums start anew."""
        total = torch.zeros_like(self.value) if self._total is None else self._total
        flat = [tensor.view(-1).split(_BLOCK) for tensor in (self.value, self.remainder, self.momentum, total)]
        for w, r, m, g in zip(*flat, strict=True):
            g = rnd(g if g.dtype == torch.float64 else from_units(g))
            m.copy_(rnd(rnd(m * rates.momentum).add_(rnd(g * rates.share))))
            x = rnd(m * rates.rate).sub_(r).mul_(-(2.0**-10)).add_(w)
            w.copy_(rnd(x))
            r.copy_(rnd(x.sub_(w).mul_(2.0**10)))
        self.clear()


def _to_units(total: torch.Tensor) -> torch.Tensor:
    return (total * 2.0**QUANTUM_BITS).to(torch.int64)
