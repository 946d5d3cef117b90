"""The simulated chip, of one core or of a mesh: generated for the network, compiled by Verilator, reached through a
pipe."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from ...hw.contract.chip import ChipConfig
from ..compile import Plan, check_method, fit_chip, fit_mesh, mesh_size
from ..device import Device
from ..errors import DeviceError
from ..link.bus import Bus
from .chip import ChipDevice, read_identity
from .simulator import start_simulator, statistics

_FIELDS = {field.name: field.type for field in fields(ChipConfig)}


class SimDevice(ChipDevice):
    """A chip in RTL simulation. Fields of ChipConfig that are given are fixed; memories that are not are made just
    large enough for the network that is loaded, so that only a stated depth can be too small."""

    name = "sim"

    def __init__(self, *, progress=None, flip: float = 0.0, seed: int = 0, stats: bool = False, **capacity):
        super().__init__()
        self.program: Path | None = None    # the simulator, once loaded
        self.simulated: dict = {}   # with `stats`, once closed: cycles, busy cycles, seconds, asleep, processor seconds
        for name in capacity:
            if name not in (*_FIELDS, "gradient"):
                raise DeviceError(f"the simulated chip has no {name!r}; it has mesh, place, "
                                  f"{', '.join((*_FIELDS, 'gradient'))}")
        if "mesh_width" in capacity or "mesh_height" in capacity:
            raise DeviceError("the simulated chip takes its mesh as columns x rows, such as mesh=5x4")
        if "training" in capacity:
            raise DeviceError("the simulated chip trains if it is loaded for training; leave 'training' out")
        self._capacity, self._progress = capacity, progress
        self._options = ["--flip", str(flip), "--seed", str(seed)] if flip else []
        self._stats, self._gradient = stats, ""
        self._running: ChipConfig | None = None

    def connect(self, network, training):
        try:
            config = self._choose(network, training)
        except (TypeError, ValueError) as error:
            raise DeviceError(f"the simulated chip cannot be built: {error}") from None
        self.compile(network, training, config)     # refuses what does not fit before anything is built
        if self._bus is None or config != self._running:
            self.close()
            self._bus = self._start(config)
            found = read_identity(self._bus)
            if found != config:
                raise DeviceError(f"the simulated chip says it is {found}, but {config} was asked for; "
                                  "remove the cache of simulators")
            self._running = config
        return self._bus, config

    def _choose(self, network, training) -> ChipConfig:
        config, choice = fit_chip(network, training, **self._capacity)
        self._gradient = choice.reason
        return config

    def _component(self, config: ChipConfig) -> Any:
        from ...gateware.chip import Chip
        return Chip(config)

    def info(self):
        return super().info() | ({"gradient": self._gradient} if self._gradient else {})

    def _start(self, config: ChipConfig) -> Bus:
        recipe = f"{'Chip' if config.nodes == 1 else 'MeshChip'} {config}"
        self.program, bus = start_simulator(recipe, lambda: self._component(config), progress=self._progress,
                                            options=[*self._options, *(["--stats"] if self._stats else [])])
        return bus

    def close(self):
        bus = self._bus
        super().close()
        if bus is not None and self._stats:
            self.simulated = statistics(bus)


class MeshSimDevice(SimDevice):
    """A mesh of cores in RTL simulation; options as those of `SimDevice`, which hold for every core.

    Parameters
    ----------
    mesh : str
        Columns x rows, such as "5x4".
    place : str
        Who spreads networks over it, a name in `compile.METHODS`.
    plan : Plan or None
        How the one network that will be loaded is spread over it, in place of `place`.

    Raises
    ------
    SpecError
        If mesh or place is none.
    DeviceError
        If an option is not one of a mesh.
    """

    def __init__(self, *, mesh, place: str = "even", plan: Plan | None = None, **options):
        super().__init__(**options)
        self._size = mesh_size(mesh)
        if plan is not None and (plan.mesh_width, plan.mesh_height) != self._size:
            raise DeviceError(f"the plan is for a mesh of {plan.mesh_width}x{plan.mesh_height} cores, not of {mesh}")
        check_method(place)
        if self._capacity.pop("gradient", "auto") == "running":
            raise DeviceError("the cores of a mesh form their gradient at the batch's end; leave gradient=running out")
        self.place = place if plan is None else "given"
        self._given = plan

    def plan(self, network, training, config):
        return self._given or super().plan(network, training, config)

    def _choose(self, network, training) -> ChipConfig:
        capacity, (width, height) = dict(self._capacity), self._size
        # Which core holds what follows from mesh and lanes alone, the memories from that.
        base = ChipConfig(mesh_width=width, mesh_height=height, lanes=capacity.get("lanes", 8), units=1)
        plan = self.plan(network, training, base)
        assert plan is not None, "a mesh of one core is a SimDevice"
        self._gradient = "at the batch's end, as all cores of a mesh do"
        return fit_mesh(network, training, plan, **capacity)

    def _component(self, config: ChipConfig) -> Any:
        from ...gateware.mesh_chip import MeshChip
        return MeshChip(config)


def open_sim(argument: str | None, *, mesh=None, core: str | None = None, **options) -> Device:
    """The simulated chip with `options` of ChipConfig, `progress`, `stats` (SimDevice.simulated), and `flip` (rate of
    bit errors) with `seed`; with `mesh` one of many cores, and `place` (see `MeshSimDevice`); with core="autapse" one
    with an autapse core, and options of AutapseChip."""
    if argument is not None:
        raise DeviceError(f"the simulated chip takes options key=value, not {argument!r}")
    if core == "autapse":
        if mesh is not None:
            raise DeviceError("an autapse core stands alone; leave mesh out")
        from .autapse_sim import AutapseSimDevice
        return AutapseSimDevice(**options)
    if core is not None:
        raise DeviceError(f"core of a simulated chip is autapse or left out, not {core!r}")
    if "place" in options:
        check_method(options["place"])
    if mesh is None or mesh_size(mesh) == (1, 1):
        for name in ("place", "plan"):
            if options.pop(name, None) is not None and mesh is None:
                raise DeviceError(f"{name} is for a mesh of cores; give mesh too, such as mesh=5x4")
        return SimDevice(**options)
    return MeshSimDevice(mesh=mesh, **options)
