"""Mesh and packets of the network on the chip, as plain data that gateware, compiler and driver derive from.

A packet is 1 to `packet_flits` flits. Its first flit is the header, from the lowest bit up:

    mask     nodes + 1 bits; bit n: to node n = y * width + x, bit `nodes`: to the host
    length   4 bits (more where `packet_flits` needs them): flits of the packet, less 1
    user     what is left; the network carries it as it is

The other flits are the sender's alone. The header arrives as it was sent, with all of its mask.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

MAX_NODES = 31
LENGTH_BITS = 4
FLIT_BITS = 32
PACKET_FLITS = 16
MIN_USER_BITS = 3
SHARES = 4          # short packets that have room in a buffer; a longer one takes all of it


class Channel(IntEnum):
    """Virtual channels by the class of their messages; one that nobody drains never stops another."""

    DATA = 0        # between cores: spikes, errors, weights, exact partial sums
    REQUEST = 1     # from the host
    REPLY = 2       # to the host


class Header(NamedTuple):
    """A header's fields; `length` is the number of flits less 1."""

    mask: int
    length: int
    user: int


@dataclass(frozen=True)
class MeshShape:
    """Columns and rows of a mesh; node n = y * width + x, y counted from the top, the host at the left of node 0.

    Raises
    ------
    TypeError
        If a side is no whole number.
    ValueError
        If a side is below 1, or there are more than `MAX_NODES` nodes.
    """

    width: int
    height: int

    def __post_init__(self):
        for name in ("width", "height"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} of a mesh must be a whole number, not {value!r}")
            if value < 1:
                raise ValueError(f"{name} of a mesh must be at least 1, not {value!r}")
        if self.nodes > MAX_NODES:
            raise ValueError(f"a mesh must have at most {MAX_NODES} nodes, not {self.width} x {self.height}")

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def nodes(self) -> int:
        """How many nodes there are; also the number of the host as a destination."""
        return self.width * self.height

    @property
    def host(self) -> int:
        """The host's number in a mask."""
        return self.nodes

    def at(self, node: int) -> tuple[int, int]:
        """Column and row of a node; of the host those of the place it has beside node 0."""
        return (-1, 0) if node == self.host else (node % self.width, node // self.width)

    def hops(self, source: int, destination: int) -> int:
        """Links that a packet takes between nodes; to or from the host one is its own."""
        (x, y), (u, v) = self.at(source), self.at(destination)
        return abs(x - u) + abs(y - v)


@dataclass(frozen=True, kw_only=True)
class NocConfig:
    """What synthesis fixes of the network.

    Raises
    ------
    TypeError
        If a field is of the wrong kind.
    ValueError
        If a field is out of range; the message names the field, its value and the bound.
    """

    mesh: MeshShape
    flit_bits: int = FLIT_BITS
    channels: int = len(Channel)
    packet_flits: int = PACKET_FLITS    # of the longest packet; a power of two
    buffer_flits: int = 0               # of every buffer; a power of two; 0: 16, or packet_flits where that is more

    def __post_init__(self):
        if not isinstance(self.mesh, MeshShape):
            raise TypeError(f"mesh must be a MeshShape, not {self.mesh!r}")
        for name in ("flit_bits", "channels", "packet_flits", "buffer_flits"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be a whole number, not {value!r}")
        for name, least, most in (("packet_flits", 1, 64), ("buffer_flits", 2, 256)):
            value = getattr(self, name)
            if value == 0 and name == "buffer_flits":
                continue
            if not least <= value <= most or value & (value - 1):
                raise ValueError(f"{name} must be a power of two from {least} to {most}, not {value!r}")
        if not 1 <= self.channels <= 8:
            raise ValueError(f"channels must be from 1 to 8, not {self.channels!r}")
        if 0 < self.buffer_flits < self.packet_flits:
            raise ValueError(f"buffer_flits must be at least packet_flits ({self.packet_flits}), not "
                             f"{self.buffer_flits!r}")
        least = self.mesh.nodes + 1 + self.length_bits + MIN_USER_BITS
        if self.flit_bits < least:
            raise ValueError(f"flit_bits must be at least {least} for the header of a {self.mesh} mesh, not "
                             f"{self.flit_bits!r}")

    @property
    def depth(self) -> int:
        """Flits of a buffer."""
        return self.buffer_flits or max(16, self.packet_flits)

    @property
    def shares(self) -> int:
        """Equal parts of a buffer: a packet that fits one takes one, any other the whole buffer."""
        return min(SHARES, self.depth)

    @property
    def share_flits(self) -> int:
        return self.depth // self.shares

    @property
    def length_bits(self) -> int:
        return length_bits(self.packet_flits)


def length_bits(packet_flits: int = PACKET_FLITS) -> int:
    """Width of a header's length."""
    return max(LENGTH_BITS, (packet_flits - 1).bit_length())


def pack_header(nodes: int, mask: int, length: int, user: int = 0, *, flit_bits: int = FLIT_BITS,
                packet_flits: int = PACKET_FLITS) -> int:
    """A header flit; `length` is the number of flits less 1.

    Raises
    ------
    ValueError
        If a field does not fit, no destination is named, or one that does not exist; names the field and its bounds.
    """
    bits = length_bits(packet_flits)
    user_bits = flit_bits - nodes - 1 - bits
    for name, value, low, high in (("mask", mask, 1, (2 << nodes) - 1), ("length", length, 0, packet_flits - 1),
                                   ("user", user, 0, (1 << max(user_bits, 0)) - 1)):
        if not low <= value <= high:
            raise ValueError(f"{name} of a packet's header must be from {low:#x} to {high:#x}, not {value:#x}")
    return mask | length << nodes + 1 | user << nodes + 1 + bits


def unpack_header(nodes: int, flit: int, *, packet_flits: int = PACKET_FLITS) -> Header:
    """The fields of a header flit."""
    bits = length_bits(packet_flits)
    return Header(mask=flit & (2 << nodes) - 1, length=flit >> nodes + 1 & (1 << bits) - 1,
                  user=flit >> nodes + 1 + bits)
