"""Records of builds: what was typed, and the file that keeps what came of it."""

import json
import sys
from pathlib import Path

from ..sw_driver.errors import SpecError
from ..sw_driver.files import write_text


def command_line() -> str:
    """What was typed, without where its results go."""
    words, kept = iter(sys.argv[1:]), []
    for word in words:
        if word in ("--out", "--json", "--record", "--tools"):
            next(words, None)
        elif word != "--quiet" and not word.startswith(("--out=", "--json=", "--record=", "--tools=")):
            kept.append(word)
    return " ".join(["autapse", *kept])


def records(path: Path) -> dict:
    """What a file of records holds, nothing if there is none. Raises SpecError if it holds something else."""
    try:
        found = json.loads(path.read_text()) if path.exists() else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SpecError(f"{path} is no record of builds; name another file or remove it")
    return found


def keep(path: Path, result: dict) -> None:
    """Puts a build into a file of records, by its command. Raises SpecError if the file holds something else."""
    found = records(path)
    found[result["command"]] = {name: value for name, value in result.items() if name not in ("command",
                                                                                               "critical path")}
    write_text(path, json.dumps(found, indent=1) + "\n")
