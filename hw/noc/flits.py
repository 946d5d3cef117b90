"""Shapes of flits, headers and links."""

from enum import IntEnum

from amaranth.hdl import Const, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..contract.noc import NocConfig


class Side(IntEnum):
    """The five ports of a router, in the order of every bit set of ports."""

    NORTH = 0
    EAST = 1
    SOUTH = 2
    WEST = 3
    LOCAL = 4

    @property
    def link(self) -> str:
        """Name of the port."""
        return self.name.lower()


LINKS = (Side.NORTH, Side.EAST, Side.SOUTH, Side.WEST)
OPPOSITE = {Side.NORTH: Side.SOUTH, Side.SOUTH: Side.NORTH, Side.EAST: Side.WEST, Side.WEST: Side.EAST}


def flit_layout(config: NocConfig) -> data.StructLayout:
    """A flit as ports have it; `last` ends its packet."""
    return data.StructLayout({"data": config.flit_bits, "last": 1})


def header_layout(config: NocConfig) -> data.StructLayout:
    """The data of a packet's first flit."""
    nodes = config.mesh.nodes
    return data.StructLayout({
        "mask": nodes + 1, "length": config.length_bits,
        "user": config.flit_bits - nodes - 1 - config.length_bits})


def is_long(config: NocConfig, length):
    """Whether a packet of this `length` (flits less 1) takes a whole buffer."""
    if config.packet_flits <= config.share_flits:
        return Const(0)
    return length[config.share_flits.bit_length() - 1:].any()


def credit_layout(config: NocConfig) -> data.StructLayout:
    """Room given back, if `valid`: of a `long` packet or of a short one."""
    return data.StructLayout({"valid": 1, "long": 1})


def stream_of(config: NocConfig) -> stream.Signature:
    """A port for packets of one channel."""
    return stream.Signature(flit_layout(config))


class LinkSignature(wiring.Signature):
    """One direction of a link: at most one flit a cycle, and the room behind it given back per channel.

    There is no ready: who sends a packet knows that all of it has room, and sends it in successive cycles.
    """

    def __init__(self, config: NocConfig):
        super().__init__({
            "valid": Out(1), "channel": Out(range(max(config.channels, 2))),
            "data": Out(config.flit_bits), "last": Out(1),
            "credits": In(data.ArrayLayout(credit_layout(config), config.channels)),
        })


class PortSignature(wiring.Signature):
    """Both directions of a link, as its one end has them: `o` leaves, `i` arrives."""

    def __init__(self, config: NocConfig):
        super().__init__({"o": Out(LinkSignature(config)), "i": In(LinkSignature(config))})


def activity_layout() -> data.StructLayout:
    """What happened on an outgoing link in a cycle: a flit, the last of a packet, a packet that could not go."""
    return data.StructLayout({"flit": unsigned(1), "packet": unsigned(1), "stalled": unsigned(1)})
