"""Packets of rows as the contract has them, made and taken apart without what the gateware shares with it."""

import random

from autapse.hw.contract.rows import Kind
from engine_cycles import Ports, Sink
from engine_items import item

__all__ = ["Packets", "flits_of", "packet", "random_row", "row_bits", "wavefront_items"]


def row_bits(config, kind: Kind) -> int:
    return config.lanes if kind == Kind.SPIKES else 16 * config.lanes


def flits_of(bits: int) -> int:
    return 2 + (bits + 31) // 32


def packet(config, kind: int, row: dict[str, int]) -> list[int]:
    """The words of a packet: header, `address | step << 24`, row with its low bits first."""
    length = flits_of(row_bits(config, Kind(kind)))
    header = row["targets"] | length - 1 << config.nodes + 1 | (kind | row["layer"] << 2) << config.nodes + 5
    words = [header, row["address"] | row["step"] << 24]
    return words + [row["row"] >> 32 * k & 0xFFFF_FFFF for k in range(length - 2)]


def random_row(rng: random.Random, config, kind: Kind, **fields: int) -> dict[str, int]:
    rows = {Kind.SPIKES: config.spike_rows, Kind.ERRORS: config.remote_rows, Kind.WEIGHTS: config.synapses}[kind]
    counted = kind != Kind.WEIGHTS
    row = {"targets": rng.getrandbits(config.nodes), "layer": counted * rng.randrange(config.layers),
           "step": counted * rng.randrange(config.step_slots), "address": rng.randrange(rows),
           "row": rng.getrandbits(row_bits(config, kind))}
    return row | fields


class Packets(Sink):
    """Takes flits; `packets` holds (kind, words, cycle of the first flit's offer, cycle of the last flit)."""

    def __init__(self, ports: Ports, port: str, config, *, rng: random.Random, stall: float = 0.0, on_packet=None):
        super().__init__(ports, port, rng=rng, stall=stall, on_take=self._flit)
        self.packets, self._words, self._first, self._config, self._on_packet = [], [], 0, config, on_packet

    @property
    def started(self) -> int:
        """Packets whose first flit has been offered."""
        return len(self.packets) + bool(self._words or self._standing is not None)

    def _flit(self, cycle: int, flit):
        if not self._words:
            self._first = self.offered[-1]
        self._words.append(int(flit.data))
        if flit.last:
            kind = self._words[0] >> self._config.nodes + 5 & 3
            self.packets.append((kind, self._words, self._first, cycle))
            self._words = []
            if self._on_packet:
                self._on_packet(*self.packets[-1])


def wavefront_items(*, layers: int, steps: int, present: int, backward: bool) -> list:
    """Items of a run as `Schedule` sends them."""
    items = []
    for slot in range(steps + layers - 1):
        for position in range(layers):
            lag = slot - position
            layer = layers - 1 - position if backward else position
            step = steps - 1 - lag if backward else lag
            items.append(item(layer, active=int(0 <= lag < steps and present >> layer & 1), step=step % 4096,
                              first=int(layer == 0), last=int(layer == layers - 1)))
    return items
