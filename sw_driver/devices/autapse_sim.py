"""The simulated chip with an autapse core."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ...hw.contract.autapse_chip import AutapseChip
from ..errors import DeviceError
from ..link.bus import Bus
from .autapse import AutapseDevice
from .autapse_runner import read_identity
from .simulator import start_simulator, statistics

_FIELDS = tuple(field.name for field in fields(AutapseChip) if field.name != "training")


class AutapseSimDevice(AutapseDevice):
    """A chip with an autapse core in RTL simulation. Fields of AutapseChip that are given are fixed, the others are
    made just large enough for the network that is loaded; `units` are those that the network states."""

    name = "sim"

    def __init__(self, *, progress=None, flip: float = 0.0, seed: int = 0, stats: bool = False, **capacity):
        super().__init__()
        for name in capacity:
            if name not in _FIELDS:
                raise DeviceError(f"the simulated autapse chip has no {name!r}; it has {', '.join(_FIELDS)}")
        self._capacity, self._progress, self._stats = capacity, progress, stats
        self._options = ["--flip", str(flip), "--seed", str(seed)] if flip else []
        self.program: Path | None = None
        self.simulated: dict = {}

    def connect(self, program, units):
        try:
            chip = self._choose(program, units)
        except (TypeError, ValueError) as error:
            raise DeviceError(f"the simulated autapse chip cannot be built: {error}") from None
        program(chip)       # refuses what does not fit before anything is built
        if self._bus is None or chip != self._chip:
            self.close()
            self._bus = self._start(chip)
            found = read_identity(self._bus)
            if found != chip:
                raise DeviceError(f"the simulated chip says it is {found}, but {chip} was asked for; "
                                  "remove the cache of simulators")
        return self._bus, chip

    def _choose(self, program, units: int) -> AutapseChip:
        """The smallest chip, in powers of two so that networks alike share a simulator."""
        least: dict[str, Any] = {"units": 1 << (units - 1).bit_length(), "line": 8192, "events": 8192, "segments": 256,
                                 "readouts": 1024, "code_words": 4096}
        largest = AutapseChip(**least | self._capacity)
        needs = program(replace(largest, words=65536)).needs()
        fitted = replace(largest, **{name: value for name, value in needs.items()
                                     if name not in self._capacity and name != "words"})
        words = max(1024, 1 << (program(replace(fitted, words=65536)).needs()["words"] - 1).bit_length())
        return replace(fitted, words=self._capacity.get("words", min(words, 65536)))

    def _start(self, chip: AutapseChip) -> Bus:
        def component():
            from ...gateware.chip import Chip
            return Chip(chip)

        self.program, bus = start_simulator(f"Chip {chip}", component, progress=self._progress,
                                            options=[*self._options, *(["--stats"] if self._stats else [])])
        return bus

    def close(self):
        bus = self._bus
        super().close()
        if bus is not None and self._stats:
            self.simulated = statistics(bus)
