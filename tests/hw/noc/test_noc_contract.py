"""The network's plain data: headers, shapes, loads of patterns."""

import random

import pytest

from autapse.hw.contract.noc import MAX_NODES, Channel, MeshShape, pack_header, unpack_header
from autapse.verification.traffic.patterns import PATTERNS, traffic_of, tree


def test_channels():
    assert [(channel.name, channel.value) for channel in Channel] == [("DATA", 0), ("REQUEST", 1), ("REPLY", 2)]


def test_headers_come_back():
    generator = random.Random(1)
    for _ in range(300):
        nodes = generator.randrange(1, 25)
        fields = (generator.randrange(1, 2 << nodes), generator.randrange(16), generator.getrandbits(27 - nodes))
        flit = pack_header(nodes, *fields)
        assert 0 <= flit < 1 << 32 and unpack_header(nodes, flit) == fields
    assert pack_header(6, 0b1000001, 15, 3) == 0b1000001 | 15 << 7 | 3 << 11
    wide = pack_header(MAX_NODES, 1 << MAX_NODES, 63, 5, flit_bits=48, packet_flits=64)
    assert unpack_header(MAX_NODES, wide, packet_flits=64) == (1 << MAX_NODES, 63, 5)


@pytest.mark.parametrize("fields, sentence", [
    ((6, 0, 0, 0), "^mask of a packet's header must be from 0x1 to 0x7f, not 0x0$"),
    ((6, 1 << 7, 0, 0), "^mask of a packet's header must be from 0x1 to 0x7f, not 0x80$"),
    ((6, 1, 16, 0), "^length of a packet's header must be from 0x0 to 0xf, not 0x10$"),
    ((24, 1, 0, 8), "^user of a packet's header must be from 0x0 to 0x7, not 0x8$"),
])
def test_headers_are_checked(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        pack_header(*fields)


def test_places_and_hops():
    shape = MeshShape(3, 2)
    assert [shape.at(node) for node in range(7)] == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (-1, 0)]
    assert shape.hops(0, 5) == shape.hops(5, 0) == 3
    assert shape.hops(5, shape.host) == 4 and shape.hops(shape.host, 0) == 1


def test_trees_share_links():
    shape = MeshShape(3, 2)
    assert tree(shape, 0, 0b100100) == {(0, "east"), (1, "east"), (2, "south"), (2, "core"), (5, "core")}


def test_limits_by_hand():
    """Row of four, uniform: 4 of 12 pairs cross the middle each way, from 2 x 2 nodes, at 1/3 each."""
    assert traffic_of(MeshShape(4, 1), "uniform").limit() == pytest.approx(3 / 4)
    assert traffic_of(MeshShape(3, 2), "all to one").limit() == pytest.approx(1 / 5)
    assert traffic_of(MeshShape(3, 2), "all to all").limit() == pytest.approx(1 / 6)
    assert traffic_of(MeshShape(3, 2), "one to all").limit() == pytest.approx(1)
    assert traffic_of(MeshShape(2, 1), "uniform").zero_load(4) == 2 * 3 + 2 * 2


def test_patterns_are_checked():
    with pytest.raises(ValueError, match="^there is no pattern 'noise'; there are uniform, transpose, "):
        traffic_of(MeshShape(2, 2), "noise")
    with pytest.raises(ValueError, match="^in pattern uniform nobody sends on a 1x1 mesh$"):
        traffic_of(MeshShape(1, 1), "uniform")
    for name in PATTERNS:
        masks = traffic_of(MeshShape(3, 2), name).masks
        assert all(sum(weight for _, weight in choices) == pytest.approx(1) for choices in masks.values())
