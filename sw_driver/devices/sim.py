"""The simulated chip: generated for the network, compiled by Verilator, reached through a pipe."""

from dataclasses import fields

from ...hw.contract.chip import ChipConfig
from ..compile import compile_program, fit_config
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

    def __init__(self, *, progress=None, flip: float = 0.0, seed: int = 0, **capacity):
        super().__init__()
        for name in capacity:
            if name not in _FIELDS:
                raise DeviceError(f"the simulated chip has no {name!r}; it has {', '.join(_FIELDS)}")
        self._capacity, self._progress = capacity, progress
        self._options = ["--flip", str(flip), "--seed", str(seed)] if flip else []
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
        chosen = {name: capacity.pop(name) for name in ("lanes", "units", "shared") if name in capacity}
        if "training" in capacity:
            raise DeviceError("the simulated chip trains if it is loaded for training; leave 'training' out")
        return fit_config(network, training, **chosen, **capacity)

    def _start(self, config: ChipConfig) -> Bus:
        try:
            from ...gateware.chip import Chip
            from ...gateware.simulator.build import SimulatorError, build_simulator
        except ModuleNotFoundError as missing:
            raise DeviceError(f"the simulated chip needs {missing.name}, which is not installed; "
                              "try pip install 'autapse[sim]'") from None
        try:
            program = build_simulator(Chip(config), progress=self._progress)
        except SimulatorError as error:
            raise DeviceError(str(error)) from None
        return Bus(HostLink(ProcessTransport([program, *self._options])))


def open_sim(argument: str | None, **options) -> SimDevice:
    """The simulated chip with `options` of ChipConfig, `progress`, and `flip` (rate of bit errors) with `seed`."""
    if argument is not None:
        raise DeviceError(f"the simulated chip takes options key=value, not {argument!r}")
    return SimDevice(**options)
