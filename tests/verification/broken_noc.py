"""The network with one change in its source, as a package of its own."""

import importlib
import sys
from pathlib import Path

from autapse.hw import noc

SOURCES = sorted(Path(noc.__file__).parent.glob("*.py"))


def broken(folder: Path, right: str, wrong: str):
    """The package hw.noc with `right`, which must be there once, replaced, imported under a new name from `folder`."""
    texts = {source.name: source.read_text() for source in SOURCES}
    assert sum(text.count(right) for text in texts.values()) == 1, f"not once in hw/noc: {right!r}"
    name = f"broken_noc_{abs(hash((right, wrong)))}"
    (folder / name).mkdir()
    for file, text in texts.items():
        text = text.replace(right, wrong).replace("from ..contract", "from autapse.hw.contract")
        (folder / name / file).write_text(text)
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
