"""The door to Flower: present or a sentence, and silent towards the world unless the user asked otherwise."""

import os
from importlib.util import find_spec

from ..errors import AutapseError

# Flower reports runs to its makers, asks for updates, and installs what an app lists: all off in what autapse starts.
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1",
         "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1"}

for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)


def require_flower() -> None:
    """Refuses early, before a run, where Flower is not installed."""
    if find_spec("flwr") is None:
        raise AutapseError("a federation needs flwr, which is not installed; try pip install 'autapse[fl]'")
