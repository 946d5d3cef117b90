"""The report of a run: one HTML file that opens without a server and without a network."""

from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ...hw.contract.program import TIMELINE_PARTS
from ..data import Data
from ..errors import AutapseError
from ..files import write_text
from ..trainer import Trainer


def require_report() -> None:
    """Refuses early, before a run, when the packages that draw the report are not installed."""
    for package in ("jinja2", "matplotlib"):
        if find_spec(package) is None:
            raise AutapseError(f"the report needs {package}, which is not installed; try pip install 'autapse[report]'")


def footer() -> str:
    """What made a report."""
    try:
        return f"autapse {version('autapse')}"
    except PackageNotFoundError:
        return "autapse"


def _constant(values: np.ndarray) -> str:
    if values.ndim == 0:
        return f"{float(values):.4g}"
    return f"{float(values.min()):.4g} to {float(values.max()):.4g}"


def _layers(trainer: Trainer) -> list[dict]:
    rows = []
    for layer in trainer.network.layers:
        row = {"inputs": layer.inputs, "outputs": layer.outputs, "decay": _constant(layer.decay),
               "kind": "LIF" if layer.spiking else "LI, read by its membrane", "threshold": "", "surrogate": "",
               "reset": ""}
        if layer.spiking:
            row |= {"threshold": ("> " if layer.strict else "≥ ") + _constant(layer.threshold),
                    "surrogate": f"±{layer.half_width:g}",
                    "reset": layer.reset + (", detached" if layer.detach else "")}
        rows.append(row)
    return rows


def _raster(trainer: Trainer, data: Data) -> tuple[str, str]:
    from . import figures
    samples = data.test if data.test is not None else data.train
    spikes, labels = samples.spikes(np.array([0]), trainer.network.steps), samples.labels[:1]
    result = trainer.device.accumulate(spikes, **trainer.loss.request(labels), capture=True)
    assert result.traces is not None, "accumulate(capture=True) gives traces"
    rows = [("input", spikes[0])]
    rows += [(f"layer {index}", trace["s"]) for index, (layer, trace)
             in enumerate(zip(trainer.network.layers, result.traces[0], strict=True)) if layer.spiking]
    predicted = int(result.readouts[0].argmax())
    note = (f"The first {'test' if data.test is not None else 'training'} sample: label {labels[0]}, "
            f"read as {predicted}.")
    return figures.spike_raster(rows), note


def write_report(path, trainer: Trainer, data: Data, *, seconds: float | None = None) -> None:
    """Writes the report of what `trainer` has learned from `data`; the file is whole or absent.

    It shows the learning curve, the spikes of one sample, the use of the engines where the device counts
    cycles, the confusion matrix of the test set (of the training set where there is none), and every setting.
    `seconds` is how long training took. The batch under way on the device, if any, is forgotten.
    """
    require_report()
    from jinja2 import Environment

    from . import figures
    from .page import TEMPLATE
    counters, timeline = trainer.device.counters(), trainer.device.timeline()
    evaluation = trainer.evaluate(data)
    which = "test" if data.test is not None else "training"
    raster, raster_note = _raster(trainer, data)
    engines = {name: values for name, values in counters.items() if "busy" in values}
    names = list(dict.fromkeys(name for values in counters.values() for name in values))
    skipped = sum(entry["skipped"] for entry in trainer.history)
    saturated = sum(entry["saturated"] for entry in trainer.history)
    warnings = []
    if skipped:
        warnings.append(f"{skipped} batches overflowed binary16 and were skipped; a lower loss scale avoids it.")
    if saturated:
        warnings.append(f"{saturated} updates saturated at ±65504; a lower learning rate or loss scale avoids it.")
    cards = [(f"{100 * evaluation.accuracy:.2f} %", f"accuracy on {len(evaluation.predictions):,} {which} samples"),
             (f"{trainer.epoch}", "epochs"), (f"{trainer.network.synapses:,}", "synapses"),
             (f"{trainer.network.steps}", "time steps")]
    if seconds is not None:
        cards.append((f"{seconds:.1f} s", "training time"))
    spec = asdict(trainer.training)
    settings = [("device", trainer.device.name), ("data", data.name), *((name.replace("_", " "), f"{value:g}"
                if isinstance(value, float) else value) for name, value in spec.items()), ("seed", trainer.seed)]
    settings += [(f"device: {name}", value) for name, value in trainer.device.info().items()
                 if name != "name" and not isinstance(value, (dict, list))]
    page = Environment(autoescape=True).from_string(TEMPLATE).render(
        title=f"{data.name}: {trainer.network}", subtitle=f"Trained on {trainer.device.name} by back-propagation "
        "through time, the same bits on every device", cards=cards, curve=figures.learning_curve(trainer.history),
        warnings=warnings, raster=raster, raster_note=raster_note, device=trainer.device.name,
        engines=figures.engine_use(engines) if engines else "",
        schedule=figures.schedule(timeline, TIMELINE_PARTS) if timeline else "", counters=counters, counter_names=names,
        confusion=figures.confusion_matrix(evaluation.confusion),
        confusion_note=f"{which.capitalize()} set; rows are labels, columns what the network read.",
        layers=_layers(trainer), settings=settings, footer=footer())
    write_text(Path(path), page)
