"""The ServerApp of Flower: the hub as a process of its own. Its run config says what to do and where to leave it."""

import json
from pathlib import Path

from . import flower  # noqa: F401  (before Flower)

from flwr.app import Context  # isort: skip
from flwr.serverapp import Grid, ServerApp  # isort: skip

from ..errors import AutapseError
from ..files import write_text
from .hub import Hub
from .settings import Settings

FAILED = "failed.txt"

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Runs the federation of `settings` (JSON); its state is left in the folder `out`, and `resume` goes on from it."""
    out = Path(str(context.run_config["out"]))
    try:
        settings = Settings.from_json(str(context.run_config["settings"]))
        nodes = {int(node): worker for node, worker in json.loads(str(context.run_config["nodes"])).items()}
        Hub(settings, out=out, resume=bool(context.run_config["resume"]), wait=settings.timeout, nodes=nodes).run(grid)
    except AutapseError as error:
        write_text(out / FAILED, str(error))
        raise
