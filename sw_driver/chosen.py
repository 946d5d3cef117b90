"""The chip that a board is to get: its preset, or one whose memories are made for a network."""

from dataclasses import replace
from functools import partial

from ..boards.board import Board
from ..boards.presets import small_core
from ..gateware.room import block_rams, filled
from ..hw.contract.chip import ChipConfig
from .compile import Plan, fit_mesh, lay_out, plan_by
from .compile.fit import sum_widths
from .compile.mesh_layout import place_cores
from .errors import SpecError
from .network import Network, TrainingSpec


def chip_for(network: Network, training: TrainingSpec | None, *, lanes: int, units: int = 1, shared: bool = False,
             plan: Plan | None = None, whole: bool = False) -> ChipConfig:
    """A chip with just the memories that a network takes, rounded up to what costs no more block RAM.

    With `whole` a power of two of rows of synapses: block RAMs side by side, each with a bit or two of all words, need
    no multiplexers behind them. 13,312 rows of eight lanes have 2,700 cells of those, and wires that nextpnr does not
    find ways for; 16,384 rows have none.
    """
    def synapses(rows: int) -> int:
        return 1 << max(rows - 1, 1).bit_length() if whole else _up(rows)

    if plan is not None:
        config = fit_mesh(network, training, plan, lanes=lanes, units=units)
        _, cores = place_cores(network, training, plan, lanes=lanes, units=units)
        needs = {name: max(core.placing.needs.get(name, 0) for core in cores) for name in ("synapses", "history_words")}
        return replace(config, link_counters=False, **{name: _up(rows) for name, rows in needs.items() if rows} |
                       {"synapses": synapses(needs["synapses"])})
    needs = lay_out(network, training, lanes=lanes, units=units, running=False).needs
    base = ChipConfig(lanes=lanes, units=units, shared=shared, slots=1 if shared else 2, training=training is not None)
    return base.replace(**({name: _up(rows) for name, rows in needs.items()} | sum_widths(base, network, training) |
                           {"synapses": synapses(needs["synapses"])}))


def _up(rows: int) -> int:
    """Rows as memories are cut: to a power of two below 512, to multiples of 512 above."""
    if not rows:
        return 0
    return 1 << max(rows - 1, 1).bit_length() if rows <= 512 else -(-rows // 512) * 512


def chosen_chip(board: Board, network: Network | None, training: TrainingSpec | None, *, mesh: tuple[int, int] | None,
                lanes: int | None, units: int | None, inference: bool = False, sequenced: bool = False) -> ChipConfig:
    """The chip that a command asks for: the board's preset where it says nothing.

    With a network its memories are just large enough for that; without, they fill the board's block RAM.

    Raises
    ------
    SpecError
        If the options contradict each other or the board.
    """
    preset = board.preset()
    if sequenced:
        if mesh is not None or (lanes or 1) != 1 or (units or 1) != 1:
            raise SpecError("the sequenced core is one core of one lane and one unit; leave mesh, lanes and units out")
        if network is not None:
            return chip_for(network, training, lanes=1, shared=True)
        return replace(preset if preset.sequenced else small_core(), training=not inference)
    if network is None and mesh is None and lanes is None and units is None and not inference:
        return preset
    width, height = mesh or (preset.mesh_width, preset.mesh_height)
    lanes = preset.lanes if lanes is None else lanes
    units = min(preset.units, lanes) if units is None else units
    try:
        if network is not None:
            plan = None if (width, height) == (1, 1) else plan_by("even", network, training, mesh_width=width,
                                                                  mesh_height=height, lanes=lanes)
            make = partial(chip_for, network, training, lanes=lanes, units=units, plan=plan,
                           shared=preset.sequenced and lanes == 1)
            config = make(whole=True)
            tight = config.sequenced or block_rams(config, board.device) > board.device.block_ram
            return make() if tight else config
        shared = preset.sequenced and lanes == 1 and width * height == 1
        depths = {} if shared else {"synapses": 1024}
        if width * height > 1:
            depths |= {"remote_rows": 64, "routes": 128, "link_counters": False}
        config = preset.replace(lanes=lanes, units=units, mesh_width=width, mesh_height=height, shared=shared,
                                slots=1 if shared else 2, training=not inference and preset.training, **depths)
        return filled(config, board)
    except (TypeError, ValueError) as error:
        raise SpecError(f"such a chip cannot be built for {board.title}: {error}") from None
