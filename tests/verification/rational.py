"""The rules of arithmetic in rational numbers and loops: slow, and written from the text alone.

Shares nothing with the golden model. A network is a list of dicts with the fields of `Layer` as
Fractions; words are Fractions too, since binary16 has a single zero that matters here: +0.
"""

from fractions import Fraction

LARGEST = Fraction(65504)


class Chip:
    """One network, its words, and one flag."""

    def __init__(self, layers, steps, scale, k):
        self.layers, self.steps, self.scale, self.k = layers, steps, Fraction(scale), k
        self.overflow = False

    # rnd, mul

    def rnd(self, x):
        if x == 0:
            return Fraction(0)
        exponent = 0
        magnitude = abs(x)
        while magnitude >= 2:
            magnitude, exponent = magnitude / 2, exponent + 1
        while magnitude < 1:
            magnitude, exponent = magnitude * 2, exponent - 1
        quantum = Fraction(2) ** max(exponent - 10, -24)
        count = abs(x) / quantum
        whole, part = divmod(count, 1)
        if part > Fraction(1, 2) or (part == Fraction(1, 2) and whole % 2 == 1):
            whole += 1
        result = whole * quantum
        if result > LARGEST:
            self.overflow = True
            result = LARGEST
        return result if x > 0 else -result

    def mul(self, a, b, k=0):
        return self.rnd(a * b * Fraction(2) ** k)

    # forward

    def forward(self, spikes):
        """spikes[b][t][i] -> y[b][j]; keeps traces self.u[l][b][t][j] and so on, and spikes in self.inputs[l]."""
        self.inputs, self.u, self.s, self.m = [], [], [], []
        for layer in self.layers:
            self.inputs.append(spikes)
            us, ss, ms = [], [], []
            for sample in spikes:
                u, s, m = self._forward_sample(layer, sample)
                us.append(u)
                ss.append(s)
                ms.append(m)
            self.u.append(us)
            self.s.append(ss)
            self.m.append(ms)
            spikes = ss
        counted = self.s[-1] if self.layers[-1]["spiking"] else self.u[-1]
        classes = self.layers[-1]["outputs"]
        return [[sum((step[j] for step in sample), Fraction(0)) for j in range(classes)] for sample in counted]

    def _forward_sample(self, layer, sample):
        n = layer["outputs"]
        v = [Fraction(0)] * n
        us, ss, ms = [], [], []
        for t in range(self.steps):
            u, s, m, after = [], [], [], []
            for j in range(n):
                decay, theta = layer["decay"][j], layer["threshold"][j]
                total = self.mul(decay, v[j])
                for i in range(layer["inputs"]):
                    if sample[t][i]:
                        total += layer["weight"][i][j]
                if layer["bias"] is not None:
                    total += layer["bias"][j]
                x = self.rnd(total)
                fired, near = False, False
                if layer["spiking"]:
                    fired = x > theta if layer["strict"] else x >= theta
                    near = abs(x - theta) < layer["half_width"]
                u.append(x)
                s.append(int(fired))
                m.append(int(near))
                last = t == self.steps - 1
                if last:
                    after.append(None)
                elif not fired:
                    after.append(x)
                else:
                    after.append(self.rnd(x - theta) if layer["soft"] else Fraction(0))
            us.append(u)
            ss.append(s)
            ms.append(m)
            v = after
        return us, ss, ms

    # loss

    def loss_error(self, y, targets):
        classes = self.layers[-1]["outputs"]
        share = self.rnd(Fraction(1, self.steps))
        factor = self.rnd(2 * self.scale / (classes * self.steps))
        return [
            [self.mul(factor, self.rnd(y[b][j] * share - targets[b][j])) for j in range(classes)] for b in range(len(y))
        ]

    # backward

    def backward(self, g):
        """g[b][t][j] on the last layer -> self.d[l][b][t][j]."""
        self.d = [None] * len(self.layers)
        for index in reversed(range(len(self.layers))):
            layer = self.layers[index]
            samples = range(len(g))
            self.d[index] = [self._backward_sample(index, b, g[b]) for b in samples]
            if index:
                g = [[self._error_before(index, b, t) for t in range(self.steps)] for b in samples]
            assert layer["outputs"] == len(self.d[index][0][0])

    def _error_before(self, index, b, t):
        layer, errors = self.layers[index], []
        for i in range(layer["inputs"]):
            if not self.m[index - 1][b][t][i]:
                errors.append(None)  # not computed: using it would raise TypeError
                continue
            total = Fraction(0)
            for j in range(layer["outputs"]):
                total += layer["weight"][i][j] * self.d[index][b][t][j]
            errors.append(self.rnd(total))
        return errors

    def _backward_sample(self, index, b, g):
        layer = self.layers[index]
        n = layer["outputs"]
        later = [Fraction(0)] * n
        result = [None] * self.steps
        for t in reversed(range(self.steps)):
            d = []
            for j in range(n):
                decay, theta = layer["decay"][j], layer["threshold"][j]
                u, s, m = (trace[index][b][t][j] for trace in (self.u, self.s, self.m))
                total = Fraction(0)
                if not layer["spiking"]:
                    total = g[t][j] + self.mul(decay, later[j])
                else:
                    if m:
                        e = g[t][j]
                        if not layer["detach"]:
                            e = self.rnd(e - self.mul(decay, theta if layer["soft"] else u) * later[j])
                        total += e / (2 * layer["half_width"])
                    if layer["soft"] or not s:
                        total += self.mul(decay, later[j])
                d.append(self.rnd(total))
            later = result[t] = d
        return result

    # update

    def update(self, batch, rate, momentum):
        shift = Fraction(2) ** -10
        share = self.rnd(Fraction(1, batch))
        log_scale = self.scale.numerator.bit_length() - self.scale.denominator.bit_length()
        for index, layer in enumerate(self.layers):
            for kind in ("weight", "bias"):
                if layer[kind] is None:
                    continue
                for where in self._places(layer, kind):
                    gradient = self.rnd(self._gradient(index, kind, where))
                    w, r, m = (self._get(layer[kind + part], where) for part in ("", "_remainder", "_momentum"))
                    m = self.rnd(self.mul(momentum, m) + self.mul(share, gradient, self.k - log_scale))
                    p = self.mul(rate, m, 10 - self.k)
                    x = w + shift * (r - p)
                    w = self.rnd(x)
                    r = self.rnd((x - w) / shift)
                    for part, value in (("", w), ("_remainder", r), ("_momentum", m)):
                        self._put(layer[kind + part], where, value)

    def _places(self, layer, kind):
        columns = range(layer["outputs"])
        return [(j,) for j in columns] if kind == "bias" else [(i, j) for i in range(layer["inputs"]) for j in columns]

    def _gradient(self, index, kind, where):
        total = Fraction(0)
        for b, sample in enumerate(self.d[index]):
            for t, d in enumerate(sample):
                if kind == "bias" or self.inputs[index][b][t][where[0]]:
                    total += d[where[-1]]
        return total

    @staticmethod
    def _get(table, where):
        return table[where[0]] if len(where) == 1 else table[where[0]][where[1]]

    @staticmethod
    def _put(table, where, value):
        if len(where) == 1:
            table[where[0]] = value
        else:
            table[where[0]][where[1]] = value
