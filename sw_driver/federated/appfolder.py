"""The folder that `flwr run` submits: a few lines that name autapse's apps, and the settings of the run."""

import json
from collections.abc import Mapping
from pathlib import Path

from ..files import write_text
from .settings import Settings

_PROJECT = """# Made by `autapse federate --write-app`; submit it with `flwr run FOLDER HUB --stream`.
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "autapse-federation"
version = "1.0.0"
description = "Federated training of a spiking network, every worker on its own device"
license = "Apache-2.0"
dependencies = []  # autapse is installed on every host beforehand

[tool.flwr.app]
publisher = "autapse"

[tool.flwr.app.components]
serverapp = "hub:app"
clientapp = "worker:app"

[tool.flwr.app.config]
out = {out}
resume = {resume}
nodes = {nodes}
settings = {settings}
"""


def write_app(folder: Path, settings: Settings, *, out: str, resume: bool = False, worker: str | None = None,
              nodes: Mapping[int, int] | None = None) -> None:
    """Writes the app of a run to `folder`.

    `out` is where the hub leaves its state, a path on the hub's host. `worker`, Python that defines `app`, takes the
    place of autapse's ClientApp: the tests use it for workers that misbehave. `nodes` says which worker each of
    Flower's nodes is, from the registration of their keys; without, the hub believes the first that says so.
    """
    texts = {
        # TOML takes JSON's strings and its true and false as they are.
        "pyproject.toml": _PROJECT.format(out=json.dumps(out), resume=json.dumps(resume),
                                          nodes=json.dumps(json.dumps(nodes or {})),
                                          settings=json.dumps(settings.to_json())),
        "hub.py": '"""The hub of the federation."""\n\nfrom autapse.sw_driver.federated.server import app\n\n'
                  '__all__ = ["app"]\n',
        "worker.py": worker or '"""A worker of the federation."""\n\nfrom autapse.sw_driver.federated.client import '
                               'app\n\n__all__ = ["app"]\n',
    }
    for name, text in texts.items():
        write_text(folder / name, text)
