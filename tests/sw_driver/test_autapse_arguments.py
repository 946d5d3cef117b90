"""Arguments of `Autapse`: what is refused, in one sentence, and what a checkpoint keeps of them."""

import json
import re

import numpy as np
import pytest

import autapse as ap
from autapse.hw.contract.autapse import AutapseSpec


@pytest.mark.parametrize("make,message", [
    (lambda: ap.Autapse(3, 5, structure="reservoir", delays=[7]), "delays of 5 nodes must be from 1 to 5, not 7"),
    (lambda: ap.Autapse(3, 5, structure="reservoir", delays=[5], recurrent=False), "from 1 to 4, not 5"),
    (lambda: ap.Autapse(3, 3, structure="reservoir", edges=[(0, 1), (1, 2), (2, 1)]),
     "the edges form no valid order: node 1 waits for itself"),
    (lambda: ap.Autapse(3, 3, structure="reservoir", edges=[(0, 3)]), "edge 0 -> 3 is not between nodes 0 to 2"),
    (lambda: ap.Autapse(3, 9, classes=10), "9 nodes are too few for 10 classes"),
    (lambda: ap.Autapse(3, 9, segments=[4, 4], classes=4), "the segments 4+4 have 8 nodes, not 9"),
    (lambda: ap.Autapse(3, 9), "an autapse network with readout 'count' needs classes"),
    (lambda: ap.Autapse(3, 9, classes=2, leak=1.5), "leak must be from 0 (off) to 1, not 1.5"),
    (lambda: ap.Autapse(3, 9, classes=2, leak=0.5, units=2), "2 units side by side need leak 0"),
    (lambda: ap.Autapse(3, 6, structure="reservoir", delays=[1], leak=0, units=2), "within one group of 2 units"),
    (lambda: ap.Autapse(3, 9, structure="conv", classes=2), "a conv structure needs shape"),
    (lambda: ap.Autapse(9, 18, structure="conv", shape=(3, 3), kernel=2, readout="linear"), "kernel must be odd"),
    (lambda: ap.Autapse(3, 9, structure="tree", classes=2), "structure must be reservoir, mlp or conv, not 'tree'"),
    (lambda: ap.Autapse(3, 9, classes=2, segments="abc"), "segments of Autapse must be a list of whole"),
    (lambda: ap.Autapse(3, 9, classes=2, segments=[4.5, 4.5]), "must be whole numbers of at least 1, not 4.5"),
    (lambda: ap.Autapse(3, 9, classes=2, segments=[]), "needs at least one segment"),
    (lambda: ap.Autapse(3, 9, structure="reservoir", segments=[9]), "segments is for structure 'mlp', not"),
    (lambda: ap.Autapse(3, 9, classes=2, edges=[(0, 1)]), "edges is for structure 'reservoir', not for 'mlp'"),
    (lambda: ap.Autapse(3, 9, classes=2, shape=[3, 3]), "shape is for structure 'conv', not for 'mlp'"),
    (lambda: ap.Autapse(3, 9, classes=2, temperature=2), "temperature is for readout 'prototype', not for 'count'"),
    (lambda: ap.Autapse(3, 5, structure="reservoir", delays=1.5), "delays must be a whole number, not 1.5"),
    (lambda: ap.Autapse(3, 5, structure="reservoir", delays=[1.5]), "delays of Autapse must be whole numbers, not 1.5"),
    (lambda: ap.Autapse(3, 5, structure="reservoir", delays=[2, 2]), "delay 2 is given twice"),
    (lambda: ap.Autapse(3, 5, structure="reservoir", delays=2, seed=-1), "seed must be at least 0, not -1"),
    (lambda: ap.Autapse(3, 5, structure="reservoir", edges=[1, 2]), "must be pairs of nodes, from and to, not 1"),
    (lambda: ap.Autapse(3, 5, structure="reservoir", edges=[(0, 1.5)]), "pairs of nodes, from and to, not [0, 1.5]"),
    (lambda: ap.Autapse(9, 18, structure="conv", shape=9, classes=2), "a conv structure needs shape"),
    (lambda: ap.Autapse(9, 18, structure="conv", shape=[-3, -3], classes=2), "shape of Autapse must be whole numbers"),
    (lambda: ap.Autapse(9, 18, structure="conv", shape=[3, 3], channels=2, classes=2), "channels of Autapse must be a"),
    (lambda: ap.Autapse(9, 18, structure="conv", shape=[3, 3], kernel=99999, classes=9), "kernel must be from 1 to 7"),
    (lambda: ap.Autapse(8, 18, structure="conv", shape=[3, 3], classes=9), "1 map of 3x3 nodes take 9 inputs, not 8"),
    (lambda: ap.Autapse(3, 9, classes=2, bias=2), "bias of Autapse must be True or False, not 2"),
    (lambda: ap.Autapse(3, 9, classes=2, carry="no"), "carry of Autapse must be True or False, not 'no'"),
    (lambda: ap.Autapse(3, 10**6, classes=2, readout="prototype"), "nodes of Autapse must be from 1 to 8192"),
    (lambda: ap.Network([ap.Autapse(3, 9, classes=2), ap.Linear(2, 2), ap.LI()], steps=2), "comes nothing"),
    (lambda: ap.Network([ap.Autapse(3, 9, structure="reservoir")], steps=2), "come pairs of Linear and LIF"),
    (lambda: ap.Network.from_dict({"steps": 2, "layers": [{"autapse": {"inputs": 3, "nods": 4}}]}), "'nods'"),
])  # fmt: skip
def test_refused_in_one_sentence(make, message):
    with pytest.raises(ap.SpecError) as caught:
        make()
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_description_refuses_a_delay_before_the_first_node():
    with pytest.raises(ValueError, match="delay 3 of node 2 reaches 1 before the first node"):
        AutapseSpec(inputs=2, segments=(3,), edges=((), (), ((3, 0),)), structure="reservoir", weights=1,
                    readout="linear")


@pytest.mark.parametrize(("wrong", "sentence"), [
    ({"leak": 0.3}, "leak must be a number that binary16 holds exactly, not 0.3"),
    ({"threshold": 1e6}, "threshold must be a number that binary16 holds exactly, not 1000000.0"),
    ({"bias": 2}, "bias of an autapse network must be True or False, not 2"),
])
def test_description_refuses_what_the_arithmetic_does_not_know(wrong, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        AutapseSpec(inputs=2, segments=(3,), edges=((), (), ()), structure="reservoir", weights=0, readout="linear",
                    **wrong)


@pytest.mark.parametrize("options", [
    {"nodes": np.int64(9), "classes": np.int64(2), "leak": np.float16(0.5), "bias": np.bool_(False)},
    {"nodes": 9, "structure": "reservoir", "delays": np.array([1, 2])},
    {"nodes": 9, "structure": "reservoir", "delays": range(1, 4)},
    {"nodes": 9, "structure": "reservoir", "delays": np.int64(3), "seed": np.int64(4)},
    {"nodes": 9, "structure": "reservoir", "edges": ((node, node + 1) for node in range(3))},
    {"nodes": 18, "structure": "conv", "shape": (3, 3), "channels": np.array([1, 1]), "classes": 9},
])
def test_a_description_is_plain_and_makes_the_same_network(options):
    after = [ap.Linear(9, 2), ap.LI()] if options.get("structure") == "reservoir" else []
    network = ap.Network([ap.Autapse(9, **options), *after], steps=2)
    again = ap.Network.from_dict(json.loads(json.dumps(network.as_dict())))
    assert again.layers == network.layers and again.as_dict() == network.as_dict()
