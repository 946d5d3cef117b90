"""Is this device well? Its identity, a known answer, its memories, its line; each told in a sentence."""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

import numpy as np

from ..hw.contract.chip import ARITHMETIC_VERSION, CONTRACT_VERSION, ChipConfig
from ..hw.contract.geometry import geometry
from ..hw.contract.program import Space
from .device import Device
from .devices.autapse import AutapseDevice
from .devices.chip import ChipDevice, read_identity
from .errors import DeviceError, Misfit
from .link.bus import Bus
from .network import LI, LIF, LayerState, Linear, Network, TrainingSpec

TRAINED = "3605e9d065b874e7d0fcf0bad16f0db35f779367954b7342b11579fc13f4f5b6"
INFERRED = "382890ebbf3a96914db15ca1a102e1af03705df2bb77e6fa780dd068d762d5c1"
"""SHA-256 of what the golden model makes of the known case, trained and inferred."""

_BATCH, _BATCHES = 3, 2
_BLOCK = 16                 # words looked at around a power of two
_ECHOES = 20
_BULK = 1024, 1 << 18       # bytes written and read to see how fast the line is, at least and at most,
_BULK_SECONDS = 2.0         # and about so long
_WHOLE_SECONDS = 60.0       # what looking at every word may take, unless it is asked for
_PATTERNS = (0x0000, 0xFFFF, 0x5555, 0xAAAA)
_TESTED = (Space.SYNAPSES, Space.PARAMETERS, Space.ERRORS, Space.MEMBRANES, Space.HISTORY, Space.ACTIVE)


@dataclass(kw_only=True)
class Finding:
    """One examination: its name, whether the device passed, a sentence, and figures."""

    name: str
    passed: bool
    text: str
    figures: dict = field(default_factory=dict)

    def as_dict(self) -> dict:
        return asdict(self)


def examine(device: Device, *, whole: bool | None = None,
            say: Callable[[str], None] = lambda sentence: None) -> Iterator[Finding]:
    """Examines an open device, one finding after the other. What was loaded is lost.

    Parameters
    ----------
    whole : look at every word of the chip's memories; False: at blocks around every power of two; None: at every word
        if the line takes no more than a minute for it
    say : called with what comes next

    Raises
    ------
    LinkError, DeviceError
        If the device can no longer be spoken to, or has an autapse core, whose memories are not examined.
    """
    if isinstance(device, AutapseDevice):
        raise DeviceError(f"{device.name} has an autapse core, which is not examined; train a network on it with "
                          "--check golden")
    if isinstance(device, ChipDevice):
        say("known answer")
        answer = known_answer(device)       # first, for a simulated chip is made for what is loaded
        say("identity")
        yield identity(device)
        yield answer
        if device.connected:
            say("throughput")
            speed = throughput(device.bus, device.config, baud=device.info().get("baud"))
            say("memory")
            yield memory(device.bus, device.config, whole=whole, rate=speed.figures["read_bytes_per_second"])
            yield speed
    else:
        say("known answer")
        yield known_answer(device)


def identity(device: ChipDevice) -> Finding:
    """What the chip says it is, in versions that this driver speaks."""
    if not device.connected:
        return Finding(name="identity", passed=False, text="no chip was made, see the known answer")
    config = read_identity(device.bus)
    cores = f"{config.mesh_width}x{config.mesh_height} cores of " if config.nodes > 1 else ""
    kept = f"{config.synapses * config.lanes:,} words of synapses" + (" each" if config.nodes > 1 else "")
    return Finding(
        name="identity", passed=True,
        text=f"autapse chip, contract {CONTRACT_VERSION}, arithmetic {ARITHMETIC_VERSION}: {cores}{config.lanes} "
             f"lane{'s' if config.lanes > 1 else ''}, {kept}, {'trains' if config.training else 'infers only'}",
        figures={"contract": CONTRACT_VERSION, "arithmetic": ARITHMETIC_VERSION, "chip": asdict(config)})


# Known answer

def known_network() -> Network:
    """Small enough for every chip that trains, of sizes that are no powers of two."""
    return Network([Linear(12, 7), LIF(decay=0.5), Linear(7, 3), LI(decay=0.75)], steps=5)


def known_case() -> tuple[Network, TrainingSpec, list[LayerState], np.ndarray, np.ndarray]:
    """Network, settings, weights, spikes (6, 5, 12) and targets (6, 3), the same everywhere."""
    network = known_network()
    training = TrainingSpec(learning_rate=0.25, momentum=0.5, batch=_BATCH)
    count = _BATCH * _BATCHES
    sample, step, source = np.indices((count, network.steps, network.inputs))
    spikes = ((7 * sample + 3 * step + 5 * source + sample * source) % 4 == 0).astype(np.uint8)
    targets = (np.arange(count)[:, None] % 3 == np.arange(3)).astype(np.float16)
    return network, training, network.initial_state(5, scale=4.0), spikes, targets


def answer_of(device: Device, *, training: bool) -> str:
    """SHA-256 over every word that the known case leaves on `device`. Raises Misfit."""
    network, spec, state, spikes, targets = known_case()
    device.load(network, spec if training else None)
    device.write_state(state)
    found = hashlib.sha256()
    for start in range(0, len(spikes) if training else 0, _BATCH):
        batch = slice(start, start + _BATCH)
        result = device.accumulate(spikes[batch], targets=targets[batch])
        found.update(result.readouts.astype("<i8").tobytes())
        device.update(samples=_BATCH, learning_rate=spec.learning_rate, momentum=spec.momentum)
    found.update(device.infer(spikes).astype("<i8").tobytes())
    if training:
        for layer in device.read_state():
            for name in ("weight", "bias", "remainder", "bias_remainder", "momentum", "bias_momentum"):
                found.update(getattr(layer, name).view(np.uint16).astype("<u2").tobytes())
    return found.hexdigest()


def known_answer(device: Device) -> Finding:
    """Whether the device makes of a small case what the golden model makes of it."""
    training = not isinstance(device, ChipDevice) or not device.connected or device.config.training
    what = f"{_BATCHES} batches trained and inferred" if training else "inferred"
    began = time.perf_counter()
    try:
        found = answer_of(device, training=training)
    except Misfit as misfit:
        return Finding(name="known answer", passed=False, text=f"could not be tried: {misfit}")
    seconds = time.perf_counter() - began
    right = found == (TRAINED if training else INFERRED)
    return Finding(name="known answer", passed=right, figures={"sha256": found, "seconds": seconds}, text=(
        f"{known_network()}, {what}: every word as the golden model's" if right else
        f"{known_network()}, {what}: other words than the golden model's; autapse verify names the first"))


# Memory

def memory(bus: Bus, config: ChipConfig, *, whole: bool | None, rate: float) -> Finding:
    """Patterns, and words that hang on their address, written to the memories and read again, core by core."""
    table = {space: rows for space, (_, rows) in geometry(config).items() if space in _TESTED}
    if config.sequenced:
        table = {Space.SYNAPSES: table[Space.SYNAPSES]}
    widths = {space: -(-geometry(config)[space][0] // 16) for space in table}
    sizes = {space: rows * widths[space] for space, rows in table.items() if rows}
    words = sum(sizes.values()) * config.nodes
    estimate = words * 2 * (len(_PATTERNS) + 3) / max(rate, 1.0)
    if whole is None:
        whole = estimate <= _WHOLE_SECONDS
    wrong, looked, first = 0, 0, ""
    began = time.perf_counter()
    for core in range(config.nodes):
        if config.nodes > 1:
            bus.select(1 << core)
        for space, size in sizes.items():
            for address, expected, found in _trials(bus, space, size, whole, salt=core):
                looked += len(expected)
                different = np.flatnonzero(found != expected)
                if len(different) and not first:
                    at = int(different[0])
                    first = (f"{space.name} word {address + at:#x}" + (f" of core {core}" if config.nodes > 1 else "")
                             + f" reads {found[at]:#06x}, written was {expected[at]:#06x}")
                wrong += len(different)
    if config.nodes > 1:
        bus.select((1 << config.nodes) - 1)
    bus.sync()
    seconds = time.perf_counter() - began
    scope = f"all {words:,} words" if whole else f"blocks around every power of two of {words:,} words"
    text = f"{scope} in {', '.join(space.name.lower() for space in sizes)}: " + (
        f"{looked:,} comparisons, none wrong" if not wrong else f"{wrong:,} of {looked:,} wrong; first: {first}")
    return Finding(name="memory", passed=not wrong, text=text, figures={
        "words": words, "compared": looked, "wrong": wrong, "whole": whole, "seconds": seconds})


def _trials(bus: Bus, space: Space, size: int, whole: bool, *, salt: int) -> Iterator[tuple]:
    """(address, expected, found) of every stretch read."""
    blocks = [(0, size)] if whole else _blocks(size)
    for pattern in _PATTERNS:
        bus.fill(space, 0, count=size, value=pattern)
        handles = [(start, bus.queue_read(space, start, stop - start)) for start, stop in blocks]
        for (start, handle), (_, stop) in zip(handles, blocks, strict=True):
            yield start, np.full(stop - start, pattern, np.uint16), handle.result()
    # All is written before anything is read, so that two addresses of one word show.
    for turn in range(3):
        content = [_hashed(np.arange(start, stop), turn, salt) for start, stop in blocks]
        for (start, _), words in zip(blocks, content, strict=True):
            bus.write(space, start, words)
        handles = [bus.queue_read(space, start, stop - start) for start, stop in blocks]
        for (start, _), words, handle in zip(blocks, content, handles, strict=True):
            yield start, words, handle.result()


def _blocks(size: int) -> list[tuple[int, int]]:
    """Stretches around zero, every power of two, and the end, none overlapping."""
    near: set[int] = set()
    for place in (0, *(1 << k for k in range(size.bit_length())), size):
        near.update(range(max(place - _BLOCK // 2, 0), min(place + _BLOCK // 2, size)))
    ordered = np.array(sorted(near))
    cuts = np.flatnonzero(np.diff(ordered) > 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(ordered, cuts)]


def _hashed(addresses: np.ndarray, turn: int, salt: int) -> np.ndarray:
    """Words in which every bit of the address tells."""
    mixed = (addresses.astype(np.uint64) + np.uint64(0x9E37 * (3 * salt + turn + 1))) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(48)).astype(np.uint16)


# Line

def throughput(bus: Bus, config: ChipConfig, *, baud: int | None = None) -> Finding:
    """Bytes per second in bulk, there and back, and the time of a round trip."""
    source, room = np.random.default_rng(11), config.synapses * config.lanes
    words = source.integers(1 << 16, size=min(_BULK[0] // 2, room), dtype=np.uint16)
    bus.sync()
    began = time.perf_counter()
    bus.write(Space.SYNAPSES, 0, words)
    bus.sync()
    size = round(_BULK_SECONDS * 2 * len(words) / (time.perf_counter() - began))
    words = source.integers(1 << 16, size=min(max(size, _BULK[0]), _BULK[1], 2 * room) // 2, dtype=np.uint16)
    trips = []
    for _ in range(_ECHOES):
        began = time.perf_counter()
        bus.sync()
        trips.append(time.perf_counter() - began)
    line = bus.link.statistics
    before = line.frames_resent + line.frames_damaged
    began = time.perf_counter()
    bus.write(Space.SYNAPSES, 0, words)
    bus.sync()
    there = time.perf_counter()
    back = bus.read(Space.SYNAPSES, 0, len(words))
    now = time.perf_counter()
    harmed = line.frames_resent + line.frames_damaged - before
    same = bool((back == words).all())
    rates = [2 * len(words) / (there - began), 2 * len(words) / (now - there)]
    trip = float(np.median(trips))
    figures = {"write_bytes_per_second": rates[0], "read_bytes_per_second": rates[1], "round_trip_seconds": trip,
               "frames_harmed": harmed, "bytes": 2 * len(words)}
    text = f"write {rates[0]:,.0f} bytes/s, read {rates[1]:,.0f} bytes/s, round trip {1000 * trip:.2f} ms"
    if baud:
        figures |= {"write_share": 10 * rates[0] / baud, "read_share": 10 * rates[1] / baud}
        text += (f"; of the raw line at {baud:,} baud {100 * figures['write_share']:.1f} % and "
                 f"{100 * figures['read_share']:.1f} %")
    text += f"; {harmed} frames damaged or sent again" + ("" if same else "; what came back is not what was written")
    return Finding(name="throughput", passed=same, text=text, figures=figures)
