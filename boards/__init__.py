"""Facts about boards: device, pins of clock, line and lights, budget, preset. One file per family of boards."""

import importlib
import pkgutil

from .board import Board


def boards() -> dict[str, Board]:
    """Every board by its name: the list BOARDS of each module here."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        for board in getattr(importlib.import_module(f".{module.name}", __name__), "BOARDS", ()):
            found[board.name] = board
    return found
