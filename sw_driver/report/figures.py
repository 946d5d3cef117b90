"""The figures of the report, each as an SVG to put into a page."""

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, QUIET, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, ORANGE, GREEN = "#2563eb", "#ea580c", "#0d9488"
STYLE: dict = {"font.size": 9, "font.family": "DejaVu Sans", "text.color": INK, "axes.labelcolor": QUIET,
          "axes.edgecolor": GRID, "xtick.color": QUIET, "ytick.color": QUIET, "axes.spines.top": False,
          "axes.spines.right": False, "axes.grid": True, "grid.color": GRID, "axes.axisbelow": True,
          "svg.hashsalt": "autapse", "legend.frameon": False}

PLAIN: dict = {**STYLE, "axes.grid": False}


def svg(figure: Figure) -> str:
    """The figure as an SVG element; equal figures give equal text."""
    file = io.StringIO()
    FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg"):]


def figure_and_axes(width: float, height: float, **subplots):
    """A figure of so many inches, transparent, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    return figure, figure.subplots(**subplots)


def learning_curve(history: list[dict]) -> str:
    """Loss, and accuracy on the training and test sets, over the epochs."""
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = figure_and_axes(7.6, 2.7, ncols=2)
        epochs = [entry["epoch"] for entry in history]
        left.plot(epochs, [entry["loss"] for entry in history], color=BLUE, marker="o", markersize=4)
        left.set(xlabel="epoch", ylabel="loss")
        left.set_ylim(bottom=0)
        right.plot(epochs, [100 * entry["accuracy"] for entry in history], color=BLUE, marker="o", markersize=4,
                   label="training (as it learned)")
        tested = [entry for entry in history if entry["test_accuracy"] is not None]
        if tested:
            right.plot([entry["epoch"] for entry in tested], [100 * entry["test_accuracy"] for entry in tested],
                       color=ORANGE, marker="o", markersize=4, label="test")
        right.set(xlabel="epoch", ylabel="accuracy, %")
        right.legend(loc="lower right")
        for axes in (left, right):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        return svg(figure)


def spike_raster(rows: list[tuple[str, np.ndarray]]) -> str:
    """Spikes of one sample: per layer a title and an array (T, n) of 0 and 1, one panel each."""
    with matplotlib.rc_context(PLAIN):
        figure, panels = figure_and_axes(7.6, 0.6 + 1.5 * len(rows), nrows=len(rows), squeeze=False, sharex=True)
        for axes, (title, spikes), colour in zip(panels[:, 0], rows, [BLUE, GREEN, ORANGE] * len(rows), strict=False):
            steps, neurons = spikes.shape
            t, neuron = np.nonzero(spikes)
            # A dash fills most of its step, and is as thick as a neuron's share of the panel allows (points).
            dash, thickness = 72 * 6.6 / steps * 0.7, min(4.0, max(0.5, 72 * 1.1 / neurons))
            axes.scatter(t, neuron, s=dash**2, marker="_", color=colour, linewidths=thickness,
                         rasterized=len(t) > 2000)
            axes.set(xlim=(-0.5, steps - 0.5), ylim=(-0.5, neurons - 0.5), ylabel="neuron")
            axes.set_title(f"{title}: {len(t)} spikes of {spikes.size} possible", loc="left", fontsize=9, color=INK)
            axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, min_n_ticks=1))
        panels[-1, 0].set_xlabel("time step")
        panels[-1, 0].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        return svg(figure)


def engine_use(counters: dict[str, dict[str, int]]) -> str:
    """Cycles by engine, busy and stalled, against what computing every zero would take."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_and_axes(7.6, 0.9 + 0.55 * len(counters))
        place = np.arange(len(counters))
        busy, stalled, dense = (np.array([engine.get(name, 0) for engine in counters.values()], float)
                                for name in ("busy", "stalled", "dense"))
        if dense.any():
            axes.barh(place, dense, height=0.72, color=GRID, label="without sparsity")
        axes.barh(place, busy, height=0.42, color=BLUE, label="busy")
        axes.barh(place, stalled, left=busy, height=0.42, color=ORANGE, label="stalled")
        for y, (value, end, whole) in enumerate(zip(busy, busy + stalled, dense, strict=True)):
            if whole:
                axes.text(max(whole, end), y, f"  busy {100 * value / whole:.0f} %", va="center", color=QUIET)
        axes.set_yticks(place, list(counters))
        axes.invert_yaxis()
        axes.set_xlabel("cycles")
        axes.margins(x=0.15)
        axes.grid(axis="y", visible=False)
        figure.legend(loc="outside upper left", ncols=3)
        return svg(figure)


def schedule(timeline: list[tuple[int, frozenset[str]]], names: Sequence[str]) -> str:
    """Who worked when: a bar from each change that starts an engine to the one that stops it."""
    with matplotlib.rc_context(STYLE):
        shown = [name for name in names if any(name in working for _, working in timeline)]
        figure, axes = figure_and_axes(7.6, 0.9 + 0.34 * len(shown))
        for place, name in enumerate(shown):
            bars, since = [], None
            for cycle, working in timeline:
                if since is None and name in working:
                    since = cycle
                elif since is not None and name not in working:
                    bars.append((since, cycle - since))
                    since = None
            axes.broken_barh(bars, (place - 0.36, 0.72), facecolors=(BLUE, GREEN)[place % 2], edgecolor="white",
                             linewidth=0.6)
        axes.set_yticks(range(len(shown)), shown)
        axes.invert_yaxis()
        axes.set_xlabel("cycles")
        axes.set_xlim(left=0, right=max(cycle for cycle, _ in timeline))
        axes.grid(axis="y", visible=False)
        return svg(figure)


def confusion_matrix(confusion: np.ndarray) -> str:
    """Counts (C, C) of labels by predictions; the shade is the share of the label."""
    with matplotlib.rc_context(PLAIN):
        classes = len(confusion)
        side = min(5.6, 1.4 + 0.36 * classes)
        figure, axes = figure_and_axes(side, side)
        share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        if classes <= 30:
            for label, predicted in zip(*np.nonzero(confusion), strict=True):
                axes.text(predicted, label, str(confusion[label, predicted]), ha="center", va="center",
                          fontsize=8 if classes <= 12 else 5,
                          color="white" if share[label, predicted] > 0.55 else INK)
        axes.set(xlabel="predicted", ylabel="label")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=20, integer=True, min_n_ticks=1))
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return svg(figure)
