"""The same network in the golden model and in rational numbers, and one training step of both, compared as bits."""

import functools
import itertools
from fractions import Fraction

import numpy as np

from autapse.verification.golden import kernel
from autapse.verification.golden.model import Golden, Layer, NoKernel, Rules
from rational import Chip


def kernels():
    """The golden model's kernels that this machine has."""
    try:
        kernel.load()
    except NoKernel:
        return ("torch",)
    return "torch", "native"


def half(rng, shape, spread):
    """Random binary16 values over `spread` octaves, with some zeros and subnormals, never -0."""
    values = rng.normal(size=shape) * 2.0 ** rng.uniform(-spread, 0, size=shape)
    values = np.where(rng.random(shape) < 0.1, rng.integers(-3, 4, size=shape) * 2.0**-24, values)
    return values.astype(np.float16) + np.float16(0)


def rational(array):
    """Nested lists of Fractions."""
    array = np.asarray(array)
    return Fraction(float(array)) if array.shape == () else [rational(item) for item in array]


def words(nested):
    """Nested lists of Fractions as binary16 words; each must be representable."""
    values = np.array(nested, dtype=object)
    halves = np.array([float(value) for value in values.ravel()], dtype=np.float64).astype(np.float16)
    assert all(Fraction(float(h)) == value for h, value in zip(halves, values.ravel(), strict=True))
    return halves.reshape(values.shape).view(np.uint16)


def per_neuron(array, n):
    return [Fraction(float(x)) for x in np.broadcast_to(array, (n,))]


def pair(rng, sizes, *, steps, scale, k, spread=6, gain=1.0, models=None, **options):
    """The same network in the golden model, once per kernel or as the `models` make it, and in rational numbers."""
    layers, tables = [], []
    state = {}
    readout = options.pop("readout")
    vector, coarse = options.pop("vector"), options.pop("coarse", False)
    for index, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        shape = (n_out,) if vector else ()
        decay = (rng.uniform(0.3, 0.98, size=shape) * options.get("decay_gain", 1.0)).astype(np.float16)
        threshold = (rng.uniform(0.2, 0.8, size=shape) * gain).astype(np.float16)
        if coarse:
            decay, threshold = np.full(shape, 0.5, np.float16), np.full(shape, 0.5, np.float16)
        layer = Layer(
            inputs=n_in,
            outputs=n_out,
            bias=index % 2 == 0,
            decay=decay,
            threshold=threshold,
            half_width=options.get("half_width", 0.5),
            soft=options["soft"],
            detach=options["detach"],
            strict=options["strict"],
            spiking=readout == "spikes" or index < len(sizes) - 2,
        )
        table = {name: getattr(layer, name) for name in ("inputs", "outputs", "soft", "detach", "strict", "spiking")}
        table["half_width"] = Fraction(layer.half_width)
        table["decay"] = per_neuron(layer.decay, n_out)
        table["threshold"] = per_neuron(layer.threshold, n_out)
        table["bias"] = None
        for kind, kind_shape in (("weight", (n_in, n_out)), ("bias", (n_out,))):
            if kind == "bias" and not layer.bias:
                continue
            for part in ("", "_remainder", "_momentum"):
                value = half(rng, kind_shape, spread)
                value = (value * np.float16(gain)).astype(np.float16) if part == "" else value
                if coarse and part == "":  # so that sums meet the threshold and the edges of the mask exactly
                    value = (rng.integers(-4, 5, size=kind_shape) / 4).astype(np.float16)
                state[f"{index}.{kind}{part}"] = value
                table[kind + part] = rational(value)
        layers.append(layer)
        tables.append(table)
    rules = Rules(steps=steps, loss_scale=scale, momentum_exponent=k)
    models = models or [functools.partial(Golden, kernel=name) for name in kernels()]
    goldens = [model(layers, rules, threads=1) for model in models]
    for golden in goldens:
        golden.set_state(state)
    return goldens, Chip(tables, steps, scale, rules.momentum_exponent)


def step_both(goldens, chip, rng, *, batch, sizes, rate, momentum, density=0.5, per_step=None, target_gain=1.0):
    """One training step of golden models and of rational numbers; every intermediate result compared as words."""
    steps = goldens[0].rules.steps
    spikes = (rng.random((batch, steps, sizes[0])) < density).astype(np.uint8)
    y = chip.forward(spikes.tolist())
    for golden in goldens:
        readout = golden.forward(spikes, keep=True)
        assert [[Fraction(int(unit), 2**24) for unit in row] for row in readout.y] == y
        assert golden.overflow == chip.overflow, "overflow in forward"
    if per_step is None:
        targets = (half(rng, (batch, sizes[-1]), 2) * np.float16(target_gain)).astype(np.float16)
        expected = chip.loss_error(y, rational(targets))
        for golden in goldens:
            g = golden.loss_error(readout.y, targets)
            assert np.array_equal(g.view(np.uint16), words(expected))
        errors = [[row] * steps for row in expected]
    else:
        g = per_step(rng, (batch, steps, sizes[-1]))
        errors = rational(g)
    for golden in goldens:
        assert golden.overflow == chip.overflow, "overflow in the loss"
        golden.backward(g)
    chip.backward(errors)
    for golden in goldens:
        _compare_traces(golden, chip)
    chip.update(batch, Fraction(float(np.float16(rate))), Fraction(float(np.float16(momentum))))
    for golden in goldens:
        golden.update(batch, rate, momentum)
        _compare_state(golden, chip)


def _compare_traces(golden, chip):
    for index, trace in enumerate(golden.traces()):
        assert np.array_equal(trace["u"].view(np.uint16), words(chip.u[index])), f"u of layer {index}"
        assert np.array_equal(trace["s"], np.array(chip.s[index])), f"s of layer {index}"
        assert np.array_equal(trace["m"], np.array(chip.m[index])), f"m of layer {index}"
        assert np.array_equal(trace["d"].view(np.uint16), words(chip.d[index])), f"d of layer {index}"
    assert golden.overflow == chip.overflow, "overflow in backward"


def _compare_state(golden, chip):
    assert golden.overflow == chip.overflow, "overflow in the update"
    state = golden.get_state()
    for index, table in enumerate(chip.layers):
        for kind in ("weight", "bias"):
            if table[kind] is None:
                continue
            for part in ("", "_remainder", "_momentum"):
                name = f"{index}.{kind}{part}"
                assert np.array_equal(state[name].view(np.uint16), words(table[kind + part])), name
