"""A simulated chip, found or compiled, started, and reached as a board is."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import DeviceError
from ..link.bus import Bus
from ..link.host import HostLink
from ..link.transport import ProcessTransport


def start_simulator(recipe: str, component: Callable[[], Any], *, options: Sequence[str | Path],
                    progress) -> tuple[Path, Bus]:
    """The program that simulates `component()`, and the bus of the chip in it.

    Parameters
    ----------
    recipe : str
        Says all of the component, so that a simulator that is there already is found without making it.
    options : list
        Of the program's command line.
    progress : callable or None
        Told text and fraction while a simulator is compiled.

    Raises
    ------
    DeviceError
        If a package or a tool is missing, or the compiler fails.
    """
    try:
        from ...gateware.simulator.build import SimulatorError, build_simulator, find_simulator
    except ModuleNotFoundError as missing:
        raise DeviceError(f"the simulated chip needs {missing.name}, which is not installed; "
                          "try pip install 'autapse[sim]'") from None
    try:
        program = find_simulator(recipe)
        if program is None:
            program = build_simulator(component(), recipe=recipe, progress=progress)
    except SimulatorError as error:
        raise DeviceError(str(error)) from None
    return program, Bus(HostLink(ProcessTransport([program, *options])))


def statistics(bus: Bus) -> dict:
    """What a simulator that was started with `--stats` and has ended says of its life."""
    transport = bus.link.transport
    assert isinstance(transport, ProcessTransport)
    return json.loads(transport.log)
