"""Networks, states and settings: what is stored, and every refusal by its whole sentence."""

import numpy as np
import pytest

import autapse as ap
from autapse.sw_driver.state import checked_state


def asymmetric() -> ap.Network:
    thresholds = [0.5, 1.0, 1.5, 2.0, 0.25]
    return ap.Network([ap.Linear(7, 5, bias=False), ap.LIF(decay=0.3, threshold=thresholds, half_width=2, reset="soft",
                                                           detach=True, strict=True),
                       ap.Linear(5, 3), ap.LI(decay=[0.1, 0.2, 0.7])], steps=6)


def test_constants_are_stored_as_binary16():
    first, last = asymmetric().layers
    assert first.decay.dtype == np.float16 and first.decay == np.float16(0.3) and first.decay.shape == ()
    assert last.decay.tolist() == np.array([0.1, 0.2, 0.7], np.float16).tolist()
    assert (first.half_width, first.reset, first.detach, first.strict) == (2.0, "soft", True, True)
    assert (first.spiking, last.spiking, first.bias, last.bias) == (True, False, False, True)


def test_a_network_survives_its_description():
    net = asymmetric()
    again = ap.Network.from_dict(net.as_dict())
    assert again.as_dict() == net.as_dict()
    assert (str(again), again.inputs, again.classes, again.steps, again.synapses) == ("7-5-3", 7, 3, 6, 53)


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: ap.LIF(decay=float("nan")), "decay must be finite, not nan; the chip has no NaN and no infinity"),
    (lambda: ap.LIF(decay=1.001), "decay must be from 0 to 1, not 1.00098"),
    (lambda: ap.LI(decay=[0.5, -0.25]), "decay must be from 0 to 1, not -0.25"),
    (lambda: ap.LIF(threshold=float("inf")), "threshold must be finite, not inf; the chip has no NaN and no infinity"),
    (lambda: ap.LIF(threshold=65520.0), "threshold must be within ±65504, not 65520; scale it down"),
    (lambda: ap.LIF(threshold="high"), "threshold must be numbers, not 'high'"),
    (lambda: ap.LIF(half_width=0.3), "half_width must be a power of two from 2^-14 to 2^14, not 0.3"),
    (lambda: ap.LIF(half_width=0.0), "half_width must be a power of two from 2^-14 to 2^14, not 0.0"),
    (lambda: ap.LIF(reset="none"), "reset must be 'hard' or 'soft', not 'none'"),
    (lambda: ap.LIF(detach=1), "detach must be True or False, not 1"),
    (lambda: ap.Linear(0, 3), "inputs of Linear must be at least 1, not 0"),
    (lambda: ap.Linear(3, 2.0), "outputs of Linear must be a whole number, not 2.0"),
    (lambda: ap.Network([], steps=3), "a network is pairs of Linear and LIF (or LI last), not 0 modules"),
    (lambda: ap.Network([ap.LIF(), ap.Linear(3, 2)], steps=3), "module 0 must be Linear, not LIF"),
    (lambda: ap.Network([ap.Linear(3, 2), ap.Linear(3, 2)], steps=3), "module 1 must be LIF or LI, not Linear"),
    (lambda: ap.Network([ap.Linear(3, 2), ap.LIF(), ap.Linear(3, 2), ap.LI()], steps=3),
     "layer 1 takes 3 inputs, but layer 0 has 2 outputs"),
    (lambda: ap.Network([ap.Linear(3, 2), ap.LI(), ap.Linear(2, 2), ap.LI()], steps=3),
     "LI is only for the last layer, not for layer 0: it sends no spikes"),
    (lambda: ap.Network([ap.Linear(3, 2), ap.LI(decay=[0.5] * 3)], steps=3),
     "decay of layer 0 has 3 values for 2 neurons"),
    (lambda: ap.Network([ap.Linear(3, 2), ap.LI()], steps=8193), "steps must be from 1 to 8192, not 8193"),
    (lambda: ap.TrainingSpec(learning_rate=float("inf")),
     "learning rate must be finite, not inf; the chip has no NaN and no infinity"),
    (lambda: ap.TrainingSpec(learning_rate=1e-9), "learning rate must be from 2^-24 to 65504 in binary16, not 0"),
    (lambda: ap.TrainingSpec(learning_rate=-0.5), "learning rate must be from 2^-24 to 65504 in binary16, not -0.5"),
    (lambda: ap.TrainingSpec(momentum=0.9999), "momentum must be from 0 to below 1 in binary16, not 1"),
    (lambda: ap.TrainingSpec(batch=0), "batch must be from 1 to 65536, not 0"),
    (lambda: ap.TrainingSpec(loss="l1"), "loss must be 'mse', 'cross_entropy' or 'prototype', not 'l1'"),
    (lambda: ap.TrainingSpec(loss_scale=100.0), "loss scale must be a power of two from 2^-14 to 2^24, not 100.0"),
    (lambda: ap.TrainingSpec(loss_scale=2.0**24).check(asymmetric()),
     ("loss scale 1.67772e+07 gives the error factor 1.86414e+06 for 3 classes and 6 steps, beyond binary16; choose a "
      "scale nearer 256")),
    (lambda: ap.Network.from_dict({"steps": 2, "layers": [{"inputs": 2, "outputs": 1, "decai": 1}]}),
     "layer 0 of the network description has an unknown key 'decai'"),
    (lambda: ap.Network.from_dict({"steps": 2, "layers": [{"inputs": 2}]}),
     "layer 0 of the network description lacks 'outputs'"),
])
def test_refusals(make, sentence):
    with pytest.raises(ap.SpecError) as caught:
        make()
    assert str(caught.value) == sentence
    assert isinstance(caught.value, (ap.AutapseError, ValueError))


KNOWN = [[46813, 37589], [12160, 47195], [46721, 14313]]


def test_initial_weights_are_known_bits():
    """The numbers are written here so that a changed generator cannot go unnoticed."""
    weight = ap.Network([ap.Linear(3, 2), ap.LI()], steps=1).initial_state(11)[0].weight
    assert weight.view(np.uint16).tolist() == KNOWN
    assert abs(weight).max() <= 3**-0.5


def test_seeds_and_layers_differ():
    net = ap.Network([ap.Linear(4, 4), ap.LIF(), ap.Linear(4, 4), ap.LI()], steps=1)
    one, two = net.initial_state(1), net.initial_state(2)
    assert net.initial_state(1)[0].same_bits(one[0])
    assert not one[0].same_bits(two[0]) and not one[0].same_bits(one[1])


@pytest.mark.parametrize(("name", "value", "sentence"), [
    ("weight", np.full((7, 5), np.nan),
     "weight of layer 0 must be finite, not nan; the chip has no NaN and no infinity"),
    ("momentum", np.full((7, 5), 7e4), "momentum of layer 0 must be within ±65504, not 70000; scale it down"),
    ("weight", np.zeros((5, 7)), "weight of layer 0 must have shape (7, 5), not (5, 7)"),
    ("bias", np.zeros(5), "layer 0 has no bias: bias must be None"),
])
def test_bad_states_are_refused(name, value, sentence):
    net = asymmetric()
    state = net.initial_state(0)
    setattr(state[0], name, value)
    with pytest.raises(ap.SpecError) as caught:
        checked_state(net.layers, state)
    assert str(caught.value) == sentence


def test_negative_zero_becomes_zero():
    net = ap.Network([ap.Linear(2, 1), ap.LI()], steps=1)
    state = [ap.LayerState.fresh(np.array([[-0.0], [-1e-9]]), np.zeros(1))]
    assert checked_state(net.layers, state)[0].weight.view(np.uint16).tolist() == [[0], [0]]
