"""What `autapse bench` measures, one module per subject; every figure beside something measured in the same run.

A subject is a module with `measure(*, quick, say, **options) -> dict`. `say(text, fraction=None)` takes news of the
run. The answer is of plain JSON values, and `show` draws it:

title : one line
settings : what was measured, name to value
tables : of {"title", "rows"}; the rows are dicts with the same keys, text, numbers or None
charts : of {"title", "unit", "labels", "series": {name: [value per label]}, "marks": {name: [value per label]}};
    the series are stacked, unless "stacked" is false; marks, which may be left out, are ticks to compare with;
    or, for lines, of {"title", "unit" of x, "value" of y, "curves": {name: [(x, y)]}, "top" of y, "levels": {name of a
    curve: y to compare with}, "limits": {name: x to compare with}}
notes : sentences on what the figures mean

Anything else is kept for --json. An answer with lists of dicts and no tables is shown as well as can be.
"""

import importlib
import inspect
from collections.abc import Callable

from ...sw_driver.errors import AutapseError, SpecError

__all__ = ["SUBJECTS", "BenchError", "measure"]

SUBJECTS = {
    "engines": "cycles of training on the simulated chip, by engine, beside their bound and a dense schedule",
    "mesh": "cycles of training on one core and on meshes of up to 20, the same bits on all",
    "golden": "training samples per second of the golden model, beside other simulators of spiking networks",
    "sim": "cycles per second of the simulated chip with its driver, and what building it takes",
    "synth": "cells, DSP, block RAM and clock of fixed configurations, beside the last record",
    "link": "bytes per second and cycles per word through the host link of a simulated chip",
    "serial": "bytes per second over the serial line of a board in a box, or of a board (--device)",
    "noc": "latency over load and saturation of the network on the chip, beside the limit of its topology",
}


class BenchError(AutapseError):
    """Something cannot be measured here; the message says what is missing."""


def measure(subject: str, *, quick: bool = False, say: Callable | None = None, **options) -> dict:
    """What `subject` measures, with "subject" and "quick" added. Options that are None count as not given.

    Raises
    ------
    SpecError
        If there is no such subject, or it has no such option.
    BenchError
        If a package or a tool is missing.
    """
    if subject not in SUBJECTS:
        raise SpecError(f"there is no bench {subject!r}; there are {', '.join(SUBJECTS)}")
    options = {name: value for name, value in options.items() if value is not None}
    try:
        module = importlib.import_module(f".{subject}", __name__)
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("autapse."):
            raise BenchError(f"this version has no bench {subject!r}") from None
        package = (missing.name or "").partition(".")[0]
        raise BenchError(f"bench {subject} needs {package}, which is not installed; install autapse with the extras "
                         "golden, sim, data and synth") from None
    known = inspect.signature(module.measure).parameters
    for name in options:
        if name not in known:
            raise SpecError(f"bench {subject} has no option --{name}")
    found = module.measure(quick=quick, say=say or (lambda text, fraction=None: None), **options)
    return {"subject": subject, "quick": quick, **found}
