"""What a board will do with a network, before anything is built: room, clock, samples per second, time on the line."""

from dataclasses import asdict, dataclass, replace

import numpy as np

from ..boards.board import Board
from ..gateware.room import clock_of, coefficients, kind_of, takes
from ..hw.contract.chip import ChipConfig
from ..hw.contract.link import CRC_BYTES, HEADER_BYTES, MAX_PAYLOAD
from ..hw.contract.packet import HEADER_WORDS, Opcode
from .compile import Plan, compile_mesh, compile_whole, plan_by
from .compile.plan import Cut
from .compile.predict import predict
from .compile.work import SPIKES, Activity, assumed_activity
from .data import load_data
from .devices.inputs import input_rows, line_words
from .errors import SpecError
from .network import Network, TrainingSpec

__all__ = ["Estimate", "activity_on", "estimate", "link_bytes", "link_words", "sequenced_cycles"]

DATA_SAMPLES = 64       # looked at of a data set
_ANSWER_HEAD = 4    # words of a READ_DATA beside its data, the status included
_STUFFING = 1 + 2 / 128     # of random bytes: two of 256 are escaped, and flags
_READOUT_WORDS = 4


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a board is expected to do.

    Fields
    ------
    used, there_is : by name, as `autapse build` has them
    fmax : MHz
    training, inference : {"cycles": per sample, "samples/s": at fmax, "bytes": on the line per sample, "line s": that
        they take, "samples/s of the line", "limit": of both}, or None where the chip cannot
    """

    board: str
    network: str
    config: ChipConfig
    used: dict[str, int]
    there_is: dict[str, int]
    fmax: float
    baud: int
    batch: int
    training: dict[str, float] | None
    inference: dict[str, float]
    work: str

    @property
    def fits(self) -> bool:
        """Whether the device has what it takes."""
        return all(self.used.get(name, 0) <= have for name, have in self.there_is.items())

    def as_dict(self) -> dict:
        """Plain JSON values."""
        return asdict(self) | {"fits": self.fits}


def activity_on(network: Network, data: str, *, samples: int = DATA_SAMPLES,
                spikes: float = SPIKES) -> Activity:
    """`assumed_activity`, but for the spikes of the inputs: those of the first training samples of a data set.

    Parameters
    ----------
    data : as `autapse train --data` takes it
    spikes : share of neurons behind the inputs that spike in a step

    Raises
    ------
    DataError, SpecError
        If there is no such data set, or it is of another number of inputs.
    """
    found = load_data(data).train.first(samples)
    if found.inputs != network.inputs:
        raise SpecError(f"data {data} has {found.inputs} inputs, network {network} {network.inputs}; change --net or "
                        "--data")
    rest = assumed_activity(network, samples=len(found), spikes=spikes)
    inputs = found.spikes(np.arange(len(found)), network.steps).astype(bool)
    return replace(rest, spikes=(inputs, *rest.spikes[1:]), source=(
        f"inputs of {len(found)} samples of {data}, {100 * inputs.mean():.1f} % spikes; the rest {rest.source}"))


def link_words(network: Network, config: ChipConfig, spikes: np.ndarray, *, training: bool) -> dict[str, float]:
    """Words of the packets of a sample with one core, "there" (inputs, targets, a run, the question for readouts) and
    "back" (readouts), as the mean over the inputs' spikes (N, T, inputs)."""
    packed = 16 // config.row_bits
    inputs = np.mean([line_words(row, per_word=packed) for row in input_rows(spikes, config.lanes)])
    classes = -(-network.classes // config.lanes) * config.lanes    # whole groups of them
    targets = HEADER_WORDS[Opcode.WRITE] + classes if training else 0
    return {"there": float(inputs) + targets + HEADER_WORDS[Opcode.RUN] + HEADER_WORDS[Opcode.READ],
            "back": _READOUT_WORDS * classes + _ANSWER_HEAD}


def link_bytes(network: Network, config: ChipConfig, spikes: np.ndarray, *, training: bool) -> dict[str, float]:
    """Bytes on the line per sample, of `link_words` in full frames, escapes included."""
    frame = (MAX_PAYLOAD + HEADER_BYTES + CRC_BYTES + 2) / MAX_PAYLOAD * _STUFFING
    return {way: 2 * words * frame for way, words in link_words(network, config, spikes, training=training).items()}


def sequenced_cycles(network: Network, activity: Activity, *, batch: int) -> dict[str, float]:
    """Cycles per sample of the sequenced core, "forward", "backward" and "update": visits, and what else it takes per
    neuron and step and per synapse, as measured (docs/sequenced.md)."""
    known, steps = coefficients()["sequenced cycles"], network.steps
    cycles: dict[str, float] = dict.fromkeys(("forward", "backward", "update"), 0.0)
    for index, layer in enumerate(network.layers):
        fired, errors = activity.spikes[index].mean(), activity.errors[index].mean()
        cycles["forward"] += layer.outputs * steps * (layer.inputs * fired + layer.bias + known["forward"])
        cycles["backward"] += layer.outputs * steps * known["backward"]
        if index + 1 < len(network.layers):
            following = network.layers[index + 1]
            cycles["backward"] += (layer.outputs * activity.masks[index].mean() * steps
                                   * following.outputs * activity.errors[index + 1].mean())
        cycles["update"] += (layer.inputs * fired + layer.bias) * layer.outputs * errors * steps
        cycles["update"] += (layer.inputs + layer.bias) * layer.outputs * known["update"] / batch
    return cycles


def _cycles(network: Network, training: TrainingSpec | None, config: ChipConfig, plan: Plan,
            activity: Activity) -> dict[str, float]:
    """Cycles per sample, "training" (the update's share in it) where the chip trains, and "inference"."""
    batch = training.batch if training else 16
    if kind_of(config) == "sequenced":
        parts = sequenced_cycles(network, activity, batch=batch)
        return {"training": sum(parts.values()), "inference": parts["forward"]}
    told = predict(network, plan, activity, lanes=config.lanes, units=config.units, batch=batch)
    forward = told.parts["forward"]
    return {"training": told.per_sample, "inference": sum(forward) / len(forward)}


def estimate(board: Board, network: Network, training: TrainingSpec | None, config: ChipConfig, *, baud: int,
             clock: float | None = None, activity: Activity | None = None, check: bool = True) -> Estimate:
    """What `board` with a chip of `config` will do with `network`; takes seconds.

    Parameters
    ----------
    training : None for inference alone
    baud : of the line
    clock : MHz, instead of the estimated Fmax
    activity : of the network on data; otherwise what is usual is assumed
    check : refuse a network that the chip has no room for

    Raises
    ------
    Misfit
        If the chip's memories do not take the network: what is too much and what to change.
    SpecError
        If nothing like this chip has been calibrated.
    """
    training = training if config.training else None
    activity = activity or assumed_activity(network)
    if config.nodes > 1:
        plan = plan_by("even", network, training, mesh_width=config.mesh_width, mesh_height=config.mesh_height,
                       lanes=config.lanes)
        if check:
            compile_mesh(network, training, config, plan)
    else:
        plan = Plan(mesh_width=1, mesh_height=1, cuts=tuple(
            Cut(layer=index, first=0, last=layer.outputs, core=0) for index, layer in enumerate(network.layers)))
        if check:
            compile_whole(network, training, config)
    try:
        used, fmax = takes(config, board.device), clock or clock_of(config, board.device)
    except ValueError as error:
        raise SpecError(f"no estimate for {board.title}: {error}") from None
    cycles = _cycles(network, training, config, plan, activity)

    def told(kind: str) -> dict[str, float]:
        amounts = link_bytes(network, config, activity.spikes[0], training=kind == "training")
        seconds = max(amounts.values()) * 10 / baud
        chip = fmax * 1e6 / cycles[kind]
        return {"cycles": round(cycles[kind], 1), "samples/s": round(chip, 1), "bytes": round(max(amounts.values())),
                "line s": round(seconds, 6), "samples/s of the line": round(1 / seconds, 1),
                "limit": round(min(chip, 1 / seconds), 1)}

    device = board.device
    there = {"cells": device.cells, "registers": device.registers, "dsp": device.dsp, "block_ram": device.block_ram}
    if device.family == "ice40":
        there = {name: count for name, count in there.items() if name != "registers"}
        there["large_ram"] = device.large_ram
    return Estimate(board=board.name, network=str(network), config=config, used=used, there_is=there, fmax=fmax,
                    baud=baud, batch=training.batch if training else 0, training=told("training") if training else None,
                    inference=told("inference"), work=activity.source)
