"""What a chip takes of a device, told from its configuration in milliseconds, and chips made to fill one.

Block RAM and DSP follow from the design. Cells, registers and clock are sums of parts whose coefficients come from
real builds (docs/boards.json, docs/synthesis.json) and, for cells and registers of meshes and chips that infer only,
from synthesis alone (docs/sizes.json): `coefficients.json`, which `python -m autapse.gateware.calibrate` makes.
"""

import json
from dataclasses import replace
from pathlib import Path

from ..boards.board import Board, Device
from ..hw.contract.chip import ChipConfig
from ..hw.contract.geometry import geometry
from ..hw.contract.program import Space
from ..hw.contract.rows import FLIT_BITS
from ..hw.sequenced.places import fits, places

__all__ = ["COEFFICIENTS", "block_rams", "clock_of", "dsp_blocks", "features", "filled", "kind_of", "takes"]

COEFFICIENTS = Path(__file__).with_name("coefficients.json")
# Width and depth of a DP16KD with one writer and one reader; with two ports that both do either, without the first.
_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))
_LINK_RAMS = 2          # rings of the link
_SEQUENCED_RAMS = 8     # of a chip with the sequenced core, besides its one memory: link, microprogram, scratch, list
_WEIGHT_ROWS = 64       # that may wait for the mesh


def _rams(width: int, depth: int, *, both: bool = False) -> int:
    """Block RAMs of one memory. Yosys weighs each as 128, and the multiplexers behind those that stand one above the
    other; their weight of 0.6 per bit is fitted to what it chose."""
    grain = 16 if width > 16 and width % 16 == 0 else width     # what is written by itself; none shares a narrow RAM

    def of(wide: int, deep: int) -> tuple[float, int]:
        across = width // grain * -(-grain // wide) if wide < grain else -(-width // (wide // grain * grain))
        above = -(-depth // deep)
        return 128 * across * above + 0.6 * (above - 1) * width * (1 + both), across * above
    return min(of(wide, deep) for wide, deep in _SHAPES[int(both):])[1]


def _free_rams(width: int, depth: int) -> int:
    """Block RAMs of a memory that is not told to be in some: none where RAM made of cells weighs less."""
    return _rams(width, depth) if -(-width // 4) * -(-depth // 16) >= 32 else 0


def kind_of(config: ChipConfig) -> str:
    """"sequenced", "training" or "inference"; with " mesh" where there are several cores."""
    if config.sequenced and fits(config):
        return "sequenced"
    return ("training" if config.training else "inference") + (" mesh" if config.nodes > 1 else "")


def block_rams(config: ChipConfig, device: Device) -> int:
    """Block RAMs of a chip, as `device` counts them."""
    if kind_of(config) == "sequenced":
        if device.family == "ice40":
            return 23
        return _rams(16, places(config).total, both=True) + _SEQUENCED_RAMS
    count = _LINK_RAMS + config.nodes * _core_rams(config)
    return -(-count // 2) if device.family == "xilinx" else count


def _core_rams(config: ChipConfig) -> int:
    readers = {Space.SPIKES: 3 if config.training else 1, Space.PARAMETERS: 2 if config.training else 1,
               Space.READOUTS: 2, Space.ERRORS: 2 if config.wide_rows else 1}
    count = 2       # copy of the registers, timeline
    for space, (width, depth) in geometry(config).items():
        if space == Space.SYNAPSES:
            count += config.lanes * _rams(16, depth, both=config.training)
        elif space == Space.REMOTE:     # words, written by pairs, and flags
            pairs = -(-max(depth, 2) * config.lanes // 2)
            count += min(-(-pairs // 512), 2 * -(-pairs // 1024)) + _rams(config.lanes, depth)
        elif width * depth >= 256:
            count += readers.get(space, 1) * _rams(width, depth)
    if config.wide_rows:
        count += _rams(config.lanes * config.sum_bits, config.wide_rows)
    index = max(config.events - 1, 1).bit_length()
    for width in (index, max(config.synapses - 1, 1).bit_length() + 16)[:2 if config.training else 1]:
        count += _free_rams(width, 2 << index) + _free_rams(16 * config.units, max(config.neurons, 2))
    if config.nodes > 1:
        count += _outbox_rams(config)
    return count


def _outbox_rams(config: ChipConfig) -> int:
    """Of each queue one memory of heads, and of rows of several words one of flits, 32 bits of a row in each."""
    def bits(count: int) -> int:
        return max(count - 1, 1).bit_length()

    counted = config.nodes + bits(config.layers) + bits(config.step_slots)
    count = _rams(counted + bits(config.spike_rows) + config.lanes, 2 * config.outbox)
    if config.training:
        flits = -(-16 * config.lanes // FLIT_BITS)
        count += _rams(counted + bits(config.remote_rows), 2 * config.outbox) + flits * -(-2 * config.outbox // 512)
        count += _rams(config.nodes + bits(config.synapses), _WEIGHT_ROWS) + flits
    return count


def dsp_blocks(config: ChipConfig) -> int:
    """Multipliers of 18 x 18 bits."""
    if kind_of(config) == "sequenced":
        return 1
    return config.nodes * ((5 * config.units + 3 + config.lanes) if config.training else config.units)


def features(config: ChipConfig) -> dict[str, float]:
    """What cells and registers are sums of, with a coefficient each."""
    kind = kind_of(config)
    if kind == "sequenced":
        return {"sequenced chip": 1.0}
    cores = float(config.nodes)
    name = "training" if config.training else "inference"
    found = {"link and command processor": 1.0, f"{name} core": cores, f"{name} lane": cores * config.lanes}
    if config.units > 1:
        found[f"{name} unit"] = cores * (config.units - 1)
    if config.layers > 2:
        found[f"{name} table"] = cores * (config.layers.bit_length() - 2)
    if config.nodes > 1:
        found[f"{name} mesh"] = cores
    return found


def coefficients() -> dict:
    """The calibration."""
    return json.loads(COEFFICIENTS.read_text())


def takes(config: ChipConfig, device: Device) -> dict[str, int]:
    """Cells, registers (not of an iCE40), DSP, block RAM, large RAM.

    Raises
    ------
    ValueError
        If no build has calibrated chips of this kind on this family.
    """
    if "cells" not in coefficients()["families"].get(device.family, {}):
        raise ValueError(f"no build of a board with a device of the family {device.family} has been recorded yet; "
                         "autapse build counts what the chip takes")
    known, found = coefficients()["families"][device.family], features(config)
    told = {"cells": _sum(known["cells"], found, config)}
    if device.family != "ice40":
        told["registers"] = _sum(known["registers"], found, config)
    told |= {"dsp": dsp_blocks(config), "block_ram": block_rams(config, device)}
    if device.large_ram:
        told["large_ram"] = 4
    return told


def _sum(known: dict[str, float], found: dict[str, float], config: ChipConfig) -> int:
    for name in found:
        if name not in known:
            raise ValueError(f"no recorded build has the part {name!r} of this chip on this family of devices; autapse "
                             "build counts what the chip takes")
    return round(sum(known[name] * count for name, count in found.items()))


def clock_of(config: ChipConfig, device: Device) -> float:
    """Fmax in MHz after routing: that of builds of its kind, block RAMs and speed grade; where no mesh, or no chip that
    infers only, has been built, that of the nearest kind.

    Raises
    ------
    ValueError
        If there is none.
    """
    known, kind = coefficients()["families"][device.family]["clock"], kind_of(config)
    nearest = [kind] if kind == "sequenced" else [kind, kind.removesuffix(" mesh"), "training"]
    for name in nearest:
        if name in known.get("kinds", {}):
            line = known["kinds"][name]
            mhz = line["empty"] + line["per block RAM"] * block_rams(config, device)
            return round(known["speed"].get(device.speed, 1.0) * mhz, 1)
    raise ValueError(f"no recorded build has the clock of a {kind} core on this family of devices; autapse build tells "
                     "it")


def filled(config: ChipConfig, board: Board) -> ChipConfig:
    """The chip with as many rows of synapses as the board's block RAM has room for, a power of two: `chip_for` of
    sw_driver/chosen.py says why.

    Raises
    ------
    ValueError
        If not even 1,024 rows fit.
    """
    if kind_of(config) == "sequenced":
        return config
    rows = 1024
    if block_rams(replace(config, synapses=rows), board.device) > board.device.block_ram:
        raise ValueError(f"the memories of {config.nodes} cores of {config.lanes} lanes need "
                         f"{block_rams(replace(config, synapses=rows), board.device)} block RAMs with 1,024 rows of "
                         f"synapses each, {board.title} has {board.device.block_ram}; use fewer --lanes, a smaller "
                         "--mesh, or --net with a network")
    while block_rams(replace(config, synapses=2 * rows), board.device) <= board.device.block_ram:
        rows *= 2
    return replace(config, synapses=rows)
