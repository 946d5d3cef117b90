"""The simulated chip: generated for the network, compiled by Verilator, reached through a pipe."""

import json
from dataclasses import fields
from pathlib import Path

from ...hw.contract.chip import ChipConfig
from ..compile import compile_program, fit_chip
from ..errors import DeviceError
from ..link.bus import Bus
from ..link.host import HostLink
from ..link.transport import ProcessTransport
from .chip import ChipDevice, read_identity

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
                raise DeviceError(f"the simulated chip has no {name!r}; it has {', '.join((*_FIELDS, 'gradient'))}")
        self._capacity, self._progress = capacity, progress
        self._options = ["--flip", str(flip), "--seed", str(seed)] if flip else []
        self._stats, self._gradient = stats, ""
        self._running: ChipConfig | None = None

    def connect(self, network, training):
        try:
            config = self._choose(network, training)
        except (TypeError, ValueError) as error:
            raise DeviceError(f"the simulated chip cannot be built: {error}") from None
        compile_program(network, training, config)  # refuses what does not fit before anything is built
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
        capacity = dict(self._capacity)
        if "training" in capacity:
            raise DeviceError("the simulated chip trains if it is loaded for training; leave 'training' out")
        config, choice = fit_chip(network, training, **capacity)
        self._gradient = choice.reason
        return config

    def info(self):
        return super().info() | ({"gradient": self._gradient} if self._gradient else {})

    def _start(self, config: ChipConfig) -> Bus:
        try:
            from ...gateware.simulator.build import SimulatorError, build_simulator, find_simulator
        except ModuleNotFoundError as missing:
            raise DeviceError(f"the simulated chip needs {missing.name}, which is not installed; "
                              "try pip install 'autapse[sim]'") from None
        recipe = f"Chip {config}"
        try:
            program = find_simulator(recipe)
            if program is None:
                from ...gateware.chip import Chip
                program = build_simulator(Chip(config), recipe=recipe, progress=self._progress)
        except SimulatorError as error:
            raise DeviceError(str(error)) from None
        self.program = program
        return Bus(HostLink(ProcessTransport([program, *self._options, *(["--stats"] if self._stats else [])])))

    def close(self):
        bus = self._bus
        super().close()
        if bus is not None and self._stats:
            self.simulated = json.loads(bus.link.transport.log)


def open_sim(argument: str | None, **options) -> SimDevice:
    """The simulated chip with `options` of ChipConfig, `progress`, `stats` (SimDevice.simulated), and `flip` (rate of
    bit errors) with `seed`."""
    if argument is not None:
        raise DeviceError(f"the simulated chip takes options key=value, not {argument!r}")
    return SimDevice(**options)
