"""docs/autapse.md in integers, node by node: forward, backward, gradient and update of one network and its tail."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autapse.hw.contract.autapse import AutapseSpec
from autapse.hw.numeric.binary16 import decode, encode
from autapse.sw_driver.compile.autapse import Tail
from autapse.sw_driver.compile.program import word

sys.path.insert(0, str(Path(__file__).parent.parent / "neuron"))

from autapse_reference import SlowNeuron

F = 24


def rnd(value: int, *, fraction: int = 2 * F) -> int:
    return encode(value, fraction=fraction)[0]


def mul(a: int, b: int, power: int = 0) -> int:
    return rnd(decode(a) * decode(b), fraction=2 * F - power)


@dataclass
class SlowState:
    """Words of weights, biases behind them; and the tail's."""

    words: list[int]
    tail: list[int]


class SlowNetwork:
    """One sample at a time; `d` and gradients where the network trains."""

    def __init__(self, spec: AutapseSpec, state: SlowState, *, steps: int, tail: Tail | None = None):
        self.spec, self.state, self.steps, self.tail = spec, state, steps, tail
        self.overflow = False

    def bias(self, node: int) -> list[int]:
        spec = self.spec
        return [self.state.words[spec.input_weights + spec.weights + node]] if spec.bias else []

    def forward(self, x: np.ndarray) -> list[int]:
        """Readouts in units of 2^-24; `u`, `s`, `m` by sweep and node."""
        spec = self.spec
        neuron = SlowNeuron(leak=word(spec.leak), threshold=word(spec.threshold), half_width=word(spec.half_width),
                            soft=spec.reset == "soft", strict=spec.strict)
        self.x, self.u, self.s, self.m, self.cycles = x, [], [], [], 0
        v, self.tail_u = [0] * (self.tail.classes if self.tail else 0), []
        for k in range(self.steps):
            if not spec.carry:
                neuron.begin()
            if not spec.recurrent:
                neuron.spikes.clear()
            row = []
            for n in range(spec.nodes):
                words = self.bias(n)
                if n < spec.input_nodes and spec.input == "dense":
                    words += [self.state.words[i * spec.input_nodes + n] for i in range(spec.inputs) if x[k, i]]
                elif n < spec.input_nodes and x[k, n]:
                    words.append(self.state.words[0])
                words += [self.state.words[spec.input_weights + index] for delay, index in spec.edges[n]
                          if neuron.delayed(delay)]
                last = n == spec.nodes - 1 and (not spec.carry or k == self.steps - 1)
                row.append(neuron.node(words, last=last))
                self.cycles += row[-1][3]
            for kept, part in zip((self.u, self.s, self.m), zip(*row, strict=True), strict=False):
                kept.append(list(part))
            if self.tail:
                v = self._tail(k, v)
        self.overflow |= neuron.overflow
        if self.tail:
            return [sum(decode(row[j]) for row in self.tail_u) for j in range(self.tail.classes)]
        return [sum(row[n] for row in self.s) << F for n in range(spec.read_from, spec.nodes)]

    def _tail(self, k: int, v: list[int]) -> list[int]:
        read, classes, row = range(self.spec.read_from, self.spec.nodes), self.tail.classes, []
        for j in range(classes):
            total = decode(v[j]) + sum(decode(self.state.tail[i * classes + j]) for i, n in enumerate(read)
                                       if self.s[k][n])
            if self.tail.bias:
                total += decode(self.state.tail[len(read) * classes + j])
            row.append(rnd(total, fraction=F))
        self.tail_u.append(row)
        return [mul(word(self.tail.decay), u) for u in row]

    def backward(self, g: list[list[int]]) -> None:
        """`d` and `tail_d` by sweep, from errors by sweep of the nodes read, or of the tail."""
        spec = self.spec
        self.d, self.tail_d = [[0] * spec.nodes for _ in range(self.steps)], []
        if self.tail:
            later = [0] * self.tail.classes
            for k in reversed(range(self.steps)):
                later = [rnd(decode(e) + decode(mul(word(self.tail.decay), d)), fraction=F)
                         for e, d in zip(g[k], later, strict=True)]
                self.tail_d.insert(0, later)
        if not spec.trainable:
            return
        targets: list[list[tuple[int, int]]] = [[] for _ in range(spec.nodes)]
        for n, pairs in enumerate(spec.edges):
            for delay, index in pairs:
                targets[n - delay].append((n, spec.input_weights + index))
        for k in range(self.steps):
            d = self.d[k]
            behind = 0
            for n in reversed(range(spec.nodes)):
                total = sum(decode(self.state.words[w]) * decode(d[to]) for to, w in targets[n])
                if n >= spec.read_from:
                    at = n - spec.read_from
                    given = g[k][at] if not self.tail else rnd(sum(
                        decode(self.state.tail[at * self.tail.classes + j]) * decode(e)
                        for j, e in enumerate(self.tail_d[k])))
                    total += decode(given) << F
                behind = d[n] = self._error(k, n, total, behind)

    def _error(self, k: int, n: int, total: int, behind: int) -> int:
        spec, leak = self.spec, word(self.spec.leak)
        passed = 0 if self.s[k][n] and spec.reset == "hard" else mul(leak, behind)
        if not self.m[k][n]:
            return passed
        e = rnd(total)
        if not spec.detach:
            base = word(spec.threshold) if spec.reset == "soft" else self.u[k][n]
            e = rnd((decode(e) << F) - decode(mul(leak, base)) * decode(behind))
        height = 1 / (2 * spec.half_width)
        scaled = decode(e) * int(height * 2 ** 24)
        return rnd(scaled + (decode(passed) << 24), fraction=F + 24)

    def gradient(self) -> tuple[dict[int, int], dict[int, int]]:
        """Exact sums of this sample by state word, units of 2^-24: of the network and of the tail."""
        spec, words, tail = self.spec, {}, {}
        for k in range(self.steps):
            for n in range(spec.nodes):
                error = decode(self.d[k][n])
                if n < spec.input_nodes:
                    for i in range(spec.inputs):
                        at = i * spec.input_nodes + n
                        words[at] = words.get(at, 0) + int(self.x[k, i]) * error
                for delay, index in spec.edges[n]:
                    at = spec.input_weights + index
                    words[at] = words.get(at, 0) + (self.s[k][n - delay] * error if n >= delay else 0)
                if spec.bias:
                    at = spec.input_weights + spec.weights + n
                    words[at] = words.get(at, 0) + error
            if self.tail:
                classes, read = self.tail.classes, range(spec.read_from, spec.nodes)
                for j, error in enumerate(map(decode, self.tail_d[k])):
                    for i, n in enumerate(read):
                        at = i * classes + j
                        tail[at] = tail.get(at, 0) + self.s[k][n] * error
                    if self.tail.bias:
                        at = len(read) * classes + j
                        tail[at] = tail.get(at, 0) + error
        return words, tail


def updated(w: int, r: int, m: int, total: int, registers: dict[str, int], *, momentum: bool) -> tuple[int, int, int]:
    """W, R and M of a weight after the batch, by the program's registers."""
    g = rnd(total, fraction=F)
    fresh = mul(registers["inverse_batch"], g, registers["gradient_log"])
    kept = mul(registers["momentum"], m) if momentum else 0
    m_new = rnd(decode(kept) + decode(fresh), fraction=F)
    p = mul(registers["rate"], m_new, registers["step_log"])
    # Multiples of 2^-34.
    x = (decode(w) << 10) + decode(r) - decode(p)
    w_new = rnd(x, fraction=F + 10)
    r_new = rnd(x - (decode(w_new) << 10), fraction=F)
    return w_new, r_new, m_new if momentum else m
