"""Cells, DSP, block RAM and clock of fixed configurations, kept in a file of the repository with the change since."""

import importlib
import inspect
import json
import tempfile
from pathlib import Path
from typing import Any

from ...gateware.synthesis import SynthesisError, synthesise
from ...sw_driver.errors import SpecError
from ...sw_driver.files import write_text
from . import BenchError

RECORD = Path(__file__).parents[2] / "docs" / "synthesis.json"
_NOT_COMPARED = {"seconds"}


def measure(*, quick: bool, say, only: str | None = None, record: str | None = None) -> dict:
    """Synthesises, places and routes every configuration, or `only` one, and then updates the record.

    `record` is its file; without it, docs/synthesis.json of the repository. A configuration that was not run keeps its
    entry. If anything fails or is interrupted, the record stays as it was. Configurations, quick ones and what they
    are compared with come from configurations.py.

    Raises
    ------
    SpecError
        If there is no configuration of that name, or the record is not one.
    BenchError
        If a tool is missing or fails, or there is no record and none is named.
    """
    configurations = importlib.import_module(".configurations", __package__)
    known = configurations.CONFIGURATIONS
    if only is not None and only not in known:
        raise SpecError(f"there is no configuration {only!r}; there are {', '.join(known)}")
    names = [only] if only is not None else list(getattr(configurations, "QUICK", known) if quick else known)
    path = Path(record) if record is not None else RECORD
    if record is None and not path.parent.is_dir():
        raise BenchError("autapse is installed without its docs; name a file for the record with --record")
    kept = read_record(path)
    found = {}
    for number, name in enumerate(names):
        say(f"{name}, {number + 1} of {len(names)}", number / len(names))
        factory, target = known[name]
        found[name] = _synthesise(name, factory, target, lambda text, at=name: say(f"{at}: {text}"))
    say("done", 1.0)
    write_text(path, json.dumps(kept | found, indent=1) + "\n")
    return _report(found, kept, path, wanted=getattr(configurations, "REFERENCES", {}))


def read_record(path: Path) -> dict[str, dict]:
    """The record, {configuration: {"target", "figures"}}; empty if there is none. Raises SpecError if it is damaged."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is no record of synthesis: {error}; restore it from the repository") from None
    if not isinstance(kept, dict) or not all(isinstance(entry, dict) and "figures" in entry for entry in kept.values()):
        raise SpecError(f"{path} is no record of synthesis: it must hold figures by configuration; restore it from the "
                        "repository")
    return kept


def changes(figures: dict, before: dict) -> dict[str, str]:
    """By how much every number that both have has moved, such as "+10.0 %"; "new" where it was 0."""
    now, table = _numbers(figures), {}
    for name, old in _numbers(before).items():
        if name in now and now[name] != old:
            table[name] = f"{100 * (now[name] - old) / old:+.1f} %" if old else "new"
    return table


def _numbers(figures: dict) -> dict:
    return {name: value for name, value in figures.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and name not in _NOT_COMPARED}


def _synthesise(name: str, factory, target: str, say) -> dict:
    options: dict[str, Any] = {"target": target} if "target" in inspect.signature(synthesise).parameters else {}
    if not options and target != "ecp5-85f":
        raise BenchError(f"configuration {name} is for {target}, which this version cannot place and route")
    with tempfile.TemporaryDirectory() as folder:
        try:
            return {"target": target, "figures": synthesise(factory(), folder=Path(folder), say=say, **options)}
        except SynthesisError as error:
            raise BenchError(f"configuration {name}: {error}") from None


def _report(found: dict, kept: dict, path: Path, *, wanted: dict[str, str]) -> dict:
    columns = list(dict.fromkeys(column for entry in found.values() for column in _numbers(entry["figures"])))
    rows, moved = [], []
    for name, entry in found.items():
        figures = entry["figures"]
        other = reference_of(name, found, wanted)
        cells, base = _cells(figures), _cells(found[other]["figures"])
        rows.append({"configuration": name, **{column.partition(" (")[0]: figures.get(column) for column in columns},
                     "of reference's cells": cells / base if cells and base else None, "reference": other})
        before = kept.get(name, {}).get("figures", {})
        moved += [{"configuration": name, "figure": figure, "recorded": before[figure], "now": figures[figure],
                   "change": change} for figure, change in changes(figures, before).items()]
    fresh = [name for name in found if name not in kept]
    clocks = [name for name in found if _clock(found[name]["figures"])]
    old = {name: kept.get(name, {}).get("figures", {}) for name in found}
    return {
        "title": "Synthesis: what fixed configurations take",
        "settings": {"record": path.name},
        "tables": [{"title": "figures", "rows": rows}, {"title": "change since the last record", "rows": moved}],
        "charts": [
            {"title": "cells", "unit": "cells", "labels": list(found),
             "series": {"cells": [_cells(found[name]["figures"]) for name in found]},
             "marks": {"recorded": [_cells(old[name]) for name in found]}},
            {"title": "clock after routing", "unit": "MHz", "labels": clocks,
             "series": {"MHz": [_clock(found[name]["figures"]) for name in clocks]},
             "marks": {"recorded": [_clock(old[name]) for name in clocks]}}],
        "notes": ([f"first record: {', '.join(fresh)}"] if fresh else [])
        + ([] if moved or fresh else ["nothing has changed since the last record"]),
        "configurations": found,
    }


def reference_of(name: str, found: dict, wanted: dict[str, str]) -> str:
    """The configuration that `name` is compared with: the one that `wanted` names, if it was run too; else the first
    of the same target."""
    if wanted.get(name) in found:
        return wanted[name]
    return next(other for other, entry in found.items() if entry["target"] == found[name]["target"])


def _cells(figures: dict):
    return next((value for name, value in figures.items() if "cells" in name and "RAM" not in name), None)


def _clock(figures: dict):
    return figures.get("Fmax (MHz)")
