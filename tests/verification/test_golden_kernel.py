"""The C++ kernel against the PyTorch code: every word of whole trainings, where sums are long, wide or cancel."""

import functools
import itertools
import re

import numpy as np
import pytest

from autapse.verification.golden import kernel
from autapse.verification.golden.model import Golden, Layer, NoKernel, Rules
from kernel_mutation import compiled, golden_with
from side_by_side import half, kernels

SEED = 60221
needs_kernel = pytest.mark.skipif("native" not in kernels(), reason="there is no C++ compiler for the golden model")


def network(rng, sizes, *, spiking=False, vector=False, **options):
    """Layers with constants around the usual, per layer or per neuron; every second layer has a bias."""
    return [
        Layer(
            inputs=n_in, outputs=n_out, bias=index % 2 == 0, spiking=spiking or index < len(sizes) - 2,
            decay=rng.uniform(0.4, 0.9, size=(n_out,) if vector else ()).astype(np.float16),
            threshold=rng.uniform(0.5, 1.5, size=(n_out,) if vector else ()).astype(np.float16),
            half_width=options.pop("half_width", 0.5), **options,
        )
        for index, (n_in, n_out) in enumerate(itertools.pairwise(sizes))
    ]  # fmt: skip


def state_of(rng, golden, *, spread, gain):
    return {name: scaled(half(rng, word.shape, spread), gain) for name, word in golden.get_state().items()}


def scaled(words, gain):
    return np.clip(words.astype(float) * gain, -65504, 65504).astype(np.float16)


def everything(golden, spikes, targets, g=None):
    """One training step; all that can be read before, between and after, by name."""
    seen = {"y": golden.forward(spikes, keep=True).y}
    seen["g"] = golden.loss_error(seen["y"], targets)
    golden.backward(seen["g"] if g is None else g)
    for index, trace in enumerate(golden.traces()):
        seen |= {f"{index}.{name}": word for name, word in trace.items()}
    seen |= {f"gradient of {name}": units for name, units in golden.gradient().items()}
    seen["overflow before"] = golden.overflow
    golden.update(len(spikes), 0.3, 0.9)
    seen["overflow after"] = golden.overflow
    return seen | golden.get_state()


def bits(word):
    word = np.asarray(word)
    return word.view(np.uint16) if word.dtype == np.float16 else word


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, word in one.items():
        assert np.array_equal(bits(word), bits(other[name])), name


# Sizes around the vectors and strips of the kernel: 8 and 16 lanes, 64 columns.
SHAPES = [((5, 8, 3), 3, 4), ((17, 63, 16), 1, 3), ((40, 65, 7, 10), 4, 2), ((33, 130, 129), 2, 5), ((9, 1), 7, 1)]


@needs_kernel
@pytest.mark.parametrize("sizes,steps,batch", SHAPES)
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("spread,gain", [(4, 1), (12, 1), (3, 200), (1, 60000)], ids=["usual", "wide", "great", "over"])
def test_same_words(sizes, steps, batch, soft, spread, gain):
    for number, (detach, spiking) in enumerate(itertools.product([False, True], [False, True])):
        rng = np.random.default_rng((SEED, steps, gain, number))
        layers = network(
            rng, sizes, soft=soft, detach=detach, spiking=spiking, strict=spiking, vector=number % 2 == 1,
            half_width=0.5 if gain == 1 else 2.0**14,
        )  # fmt: skip
        rules = Rules(steps=steps, loss_scale=2.0 ** rng.integers(0, 8), momentum_exponent=5)
        goldens = [Golden(layers, rules, kernel=name) for name in ("torch", "native")]
        state = state_of(rng, goldens[0], spread=spread, gain=gain)
        for golden in goldens:
            golden.set_state(state)
        for _ in range(2):
            spikes = (rng.random((batch, steps, sizes[0])) < 0.4).astype(np.uint8)
            targets = half(rng, (batch, sizes[-1]), spread)
            g = scaled(half(rng, (batch, steps, sizes[-1]), spread), gain**0.5)
            assert_same(*(everything(golden, spikes, targets, g) for golden in goldens))


@needs_kernel
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_same_words_in_threads(threads):
    # Large enough for every function to take more than one.
    rng = np.random.default_rng(SEED + 1)
    layers = network(rng, (301, 257, 66, 10))
    answers = []
    state = state_of(rng, Golden(layers, Rules(steps=2)), spread=4, gain=1)
    spikes = (rng.random((201, 2, 301)) < 0.3).astype(np.uint8)
    targets = half(rng, (201, 10), 4)
    for name, count in (("torch", 1), ("native", threads)):
        golden = Golden(layers, Rules(steps=2, loss_scale=64.0), kernel=name, threads=count)
        golden.set_state(state)
        answers.append(everything(golden, spikes, targets))
    assert_same(*answers)
    assert answers[0]["1.d"].any() and answers[0]["0.d"].any()


LONG = [(3 * 2**13 + 5, 1), (2**11 + 1, 2), (2, 2**11 + 3), (3, 3 * 2**13)]  # inputs, samples


def long_sums(make, inputs, samples):
    """One step in which the greatest weights and errors cancel but for the last: 2^-24 is lost in too long a sum."""
    layer = Layer(
        inputs=inputs, outputs=3, bias=True, spiking=False, decay=np.float16(0.5), threshold=np.float16(1),
        half_width=0.5,
    )  # fmt: skip
    weight = np.full((inputs, 3), 65504, np.float16)
    weight[inputs // 2 :] *= np.float16(-1)
    weight[inputs // 3, 0], weight[0] = 2.0**-24, [3.0, 2.0**-20, 1.0]
    g = np.full((samples, 1, 3), 65504, np.float16)
    g[samples // 2 :] *= np.float16(-1)
    g[samples // 3] = [2.0**-24, 5.0, 2.0**-22]
    golden = make([layer], Rules(steps=1))
    golden.set_state({"0.weight": weight})
    return everything(golden, np.ones((samples, 1, inputs), np.uint8), np.zeros((samples, 3), np.float16), g)


@needs_kernel
@pytest.mark.parametrize("inputs,samples", LONG)
def test_same_words_of_long_sums(inputs, samples):
    assert_same(*(long_sums(functools.partial(Golden, kernel=name), inputs, samples) for name in ("torch", "native")))


@pytest.mark.parametrize("right,wrong", [("TERMS = 1 << 11", "TERMS = 1 << 20"), ("greatest < 128", "greatest < 1e9")])
def test_a_wrong_long_sum_is_noticed(right, wrong, monkeypatch, tmp_path):
    makes = functools.partial(Golden, kernel="torch"), golden_with(compiled(tmp_path, right, wrong), monkeypatch)
    with pytest.raises(AssertionError):
        for inputs, samples in LONG:
            assert_same(*(long_sums(make, inputs, samples) for make in makes))


def errors_through(golden_class, weight, d):
    """g of a hidden neuron per row of `weight`, whose masks are set, from errors d of the layer above."""
    (hidden, outputs), common = weight.shape, {"decay": np.float16(0.5), "threshold": np.float16(1), "half_width": 0.5}
    below = Layer(inputs=1, outputs=hidden, bias=True, **common)
    above = Layer(inputs=hidden, outputs=outputs, bias=False, spiking=False, **common)
    golden = golden_class([below, above], Rules(steps=1))
    golden.set_state({"0.bias": np.ones(hidden, np.float16), "1.weight": weight})
    golden.forward(np.zeros((1, 1, 1), np.uint8), keep=True)
    golden.backward(d[None])
    return golden.traces()[0]["d"].ravel().tolist()


def half_array(rows):
    return np.array(rows, np.float16)


# Weights, errors, and the rounded sum of their products.
DOTS = [
    # 64 + 2^-5 lies half way between two binary16 values: the sum's last bits, lost in a double, decide.
    ([64, 2.0**-5, 2.0**-24], [1, 1, 2.0**-24], 64 + 2.0**-4),
    ([64, 2.0**-5, 2.0**-24], [1, 1, -(2.0**-24)], 64.0),
    ([-64, -(2.0**-5), 2.0**-24], [1, 1, -(2.0**-24)], -64 - 2.0**-4),
    # Great products cancel; what is left over is beyond the last bit of a double that held them.
    ([60000, 2.0**-24, -60000], [40000, 1, 40000], 2.0**-24),
    ([60000, 64, 2.0**-5, 2.0**-24, -60000], [40000, 1, 1, 2.0**-24, 40000], 64 + 2.0**-4),
    ([-60000, 64, 2.0**-5, 2.0**-24, 60000], [40000, 1, 1, -(2.0**-24), 40000], 64.0),
    ([60000, 60000], [60000, 60000], 65504.0),
    ([60000, 60000], [60000, -60000], 0.0),
]


def wrong_dots(golden_class):
    return [w for w, d, right in DOTS if errors_through(golden_class, half_array([w]), half_array(d)) != [right]]


def test_sums_of_products_round_once():
    for name in kernels():
        assert not wrong_dots(lambda *args, name=name: Golden(*args, kernel=name)), name


@pytest.mark.parametrize("right,wrong", [
    ("error != 0 && !(bits & 1)", "false"),
    ("<= 53;", "<= 70;"),
    ("(low & 0x7FF) != 0", "0"),
    ("if (!(size >> 64))", "if (true)"),
])  # fmt: skip
def test_a_wrong_sum_of_products_is_noticed(right, wrong, monkeypatch, tmp_path):
    assert wrong_dots(golden_with(compiled(tmp_path, right, wrong), monkeypatch))


@needs_kernel
def test_what_was_handed_in_or_out_is_no_longer_looked_at():
    rng = np.random.default_rng(SEED + 2)
    golden = Golden(network(rng, (9, 6, 4)), Rules(steps=3), kernel="native")
    golden.set_state(state_of(rng, golden, spread=2, gain=1))
    spikes, targets = (rng.random((5, 3, 9)) < 0.5).astype(np.uint8), half(rng, (5, 4), 2)
    g = golden.loss_error(golden.forward(spikes, keep=True).y, targets)
    golden.backward(g)
    expected = golden.gradient()
    kept = {name: units.copy() for name, units in expected.items()}
    golden.clear_gradient()
    mine = spikes.copy()
    golden.forward(mine, keep=True)
    mine[:] = 1 - mine
    for trace in golden.traces():
        trace["s"][:] = 1
    golden.backward(g)
    again = golden.gradient()
    assert_same(kept, again)
    assert_same(kept, expected)
    assert any(units.any() for units in kept.values())


@needs_kernel
def test_compiled_once(monkeypatch, tmp_path):
    monkeypatch.setenv("AUTAPSE_CACHE", str(tmp_path / "cache"))
    kernel.load.__wrapped__()
    names = [path.name for path in (tmp_path / "cache").iterdir()]
    assert len(names) == 1 and re.fullmatch(r"golden-[0-9a-f]{24}\.so", names[0])
    monkeypatch.setattr(kernel, "build", lambda *_, **__: pytest.fail("compiled again"))
    kernel.load.__wrapped__()


def test_without_a_compiler_pytorch_computes(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(kernel, "load", kernel.load.__wrapped__)
    layers = network(np.random.default_rng(SEED), (3, 2))
    assert Golden(layers, Rules(steps=1)).kernel == "torch"
    sentence = "there is no C++ compiler; install one, on Debian or Ubuntu with: apt install g++"
    with pytest.raises(NoKernel, match=f"^{re.escape(sentence)}$"):
        Golden(layers, Rules(steps=1), kernel="native")


@needs_kernel
def test_a_failing_compiler_is_quoted(tmp_path):
    (tmp_path / "wrong.cpp").write_text("#error no such thing\n")
    with pytest.raises(NoKernel, match=r" failed: .*wrong\.cpp:1:2: error: .*no such thing$"):
        kernel.build(tmp_path / "wrong.cpp", tmp_path / "wrong.so", compiler=kernel.find_compiler())


def test_kernels_refused():
    layers = network(np.random.default_rng(SEED), (3, 2))
    with pytest.raises(ValueError, match='^kernel must be "native", "torch" or None, not \'fast\'$'):
        Golden(layers, Rules(steps=1), kernel="fast")
    with pytest.raises(ValueError, match='^the native kernel computes on "cpu" only, not on \'meta\'; use "torch"$'):
        Golden(layers, Rules(steps=1), device="meta", kernel="native")
