"""The rules of docs/autapse.md in rational numbers, node by node and edge by edge: slow, from the text alone."""

from fractions import Fraction

from rational import Chip


class Autapse(Chip):
    """One autapse network without layers behind it.

    `edges[n]` lists (delay, weight index); `inputs_of[n]` lists (input, weight index) in the same row of words; words
    are Fractions: `weight`, `weight_remainder`, `weight_momentum` and, or None, `bias` and its two.
    """

    def __init__(self, words, *, edges, inputs_of, steps, scale, k, leak, theta, h, soft, detach, strict, recurrent,
                 carry, read_from):
        super().__init__([], steps, scale, k)
        self.words, self.edges, self.inputs_of = words, edges, inputs_of
        self.leak, self.theta, self.h, self.soft, self.detach, self.strict = leak, theta, h, soft, detach, strict
        self.recurrent, self.carry, self.read_from, self.nodes = recurrent, carry, read_from, len(edges)

    def forward(self, spikes):
        self.x = spikes
        self.u, self.s, self.m = [], [], []
        for sample in spikes:
            us, ss, ms, v = [], [], [], Fraction(0)
            for k in range(self.steps):
                u, s, m = [], [], []
                if not self.carry:
                    v = Fraction(0)
                for n in range(self.nodes):
                    total = self.mul(self.leak, v)
                    for i, index in self.inputs_of[n]:
                        total += sample[k][i] * self.words["weight"][index]
                    for delay, index in self.edges[n]:
                        if n - delay >= 0:
                            total += s[n - delay] * self.words["weight"][index]
                        elif k:
                            total += ss[k - 1][self.nodes + n - delay] * self.words["weight"][index]
                    if self.words["bias"] is not None:
                        total += self.words["bias"][n]
                    x = self.rnd(total)
                    fired = x > self.theta if self.strict else x >= self.theta
                    u.append(x)
                    s.append(int(fired))
                    m.append(int(abs(x - self.theta) < self.h))
                    used = self.leak != 0 and (n + 1 < self.nodes or (self.carry and k + 1 < self.steps))
                    if used:
                        v = self.rnd(x - self.theta * s[-1]) if self.soft else Fraction(0) if fired else x
                    else:
                        v = Fraction(0)
                us.append(u)
                ss.append(s)
                ms.append(m)
            self.u.append(us)
            self.s.append(ss)
            self.m.append(ms)
        return [[sum(step[n] for step in sample) for n in range(self.read_from, self.nodes)] for sample in self.s]

    def backward(self, g):
        """g[b][k][read node]."""
        self.d = [[self._sweep(b, k, g[b][k]) for k in range(self.steps)] for b in range(len(g))]

    def _sweep(self, b, k, g):
        u, s, m = self.u[b][k], self.s[b][k], self.m[b][k]
        d, later = [None] * self.nodes, Fraction(0)
        for n in reversed(range(self.nodes)):
            total = Fraction(0)
            if m[n]:
                error = g[n - self.read_from] if n >= self.read_from else Fraction(0)
                for target in range(n + 1, self.nodes):
                    for delay, index in self.edges[target]:
                        if target - delay == n:
                            error += self.words["weight"][index] * d[target]
                e = self.rnd(error)
                if not self.detach:
                    e = self.rnd(e - self.mul(self.leak, self.theta if self.soft else u[n]) * later)
                total += e / (2 * self.h)
            if self.soft or not s[n]:
                total += self.mul(self.leak, later)
            later = d[n] = self.rnd(total)
        return d

    def update(self, batch, rate, momentum):
        sums = {"weight": [Fraction(0)] * len(self.words["weight"]), "bias": [Fraction(0)] * self.nodes}
        for b, sample in enumerate(self.d):
            for k, d in enumerate(sample):
                for n in range(self.nodes):
                    sums["bias"][n] += d[n]
                    for i, index in self.inputs_of[n]:
                        sums["weight"][index] += self.x[b][k][i] * d[n]
                    for delay, index in self.edges[n]:
                        sums["weight"][index] += self.s[b][k][n - delay] * d[n]
        share, shift = self.rnd(Fraction(1, batch)), Fraction(2) ** -10
        log_scale = self.scale.numerator.bit_length() - self.scale.denominator.bit_length()
        for kind, gradients in sums.items():
            if self.words[kind] is None:
                continue
            for at, gradient in enumerate(gradients):
                w, r, m = (self.words[kind + part][at] for part in ("", "_remainder", "_momentum"))
                m = self.rnd(self.mul(momentum, m) + self.mul(share, self.rnd(gradient), self.k - log_scale))
                x = w + shift * (r - self.mul(rate, m, 10 - self.k))
                w = self.rnd(x)
                for part, value in (("", w), ("_remainder", self.rnd((x - w) / shift)), ("_momentum", m)):
                    self.words[kind + part][at] = value
