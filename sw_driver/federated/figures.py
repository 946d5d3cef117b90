"""The figures of a federation's report, each as an SVG to put into a page."""

import matplotlib
from matplotlib.ticker import MaxNLocator

from ..report.figures import BLUE, GREEN, GRID, ORANGE, QUIET, STYLE, figure_and_axes, svg
from .run import Result

PALE = "#bfd3fb"
RED = "#dc2626"


def accuracy(records: list[dict], workers: int) -> str:
    """Test accuracy of the global weights and of each worker's, over the rounds."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_and_axes(7.6, 2.9)
        for worker in range(workers):
            points = [(record["round"], 100 * record["workers"][str(worker)]["test-accuracy"]) for record in records
                      if str(worker) in record["workers"]]
            points = [(round_, value) for round_, value in points if value == value]
            if points:
                axes.plot(*zip(*points, strict=True), color=PALE, linewidth=1,
                          label="a worker after local training" if worker == 0 else None)
        points = [(record["round"], 100 * record["test_accuracy"]) for record in records
                  if record["test_accuracy"] is not None]
        if points:
            axes.plot(*zip(*points, strict=True), color=BLUE, marker="o", markersize=4, label="global weights")
        axes.set(xlabel="round", ylabel="test accuracy, %")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="lower right")
        return svg(figure)


def compared(result: Result) -> str:
    """Final test accuracy: the federation, one device, the workers alone."""
    assert result.compared is not None and result.test_accuracy is not None
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_and_axes(7.6, 1.7)
        values = [100 * result.test_accuracy, 100 * result.compared["one_device"], 100 * result.compared["alone_mean"]]
        axes.barh(range(3), values, height=0.62, color=[BLUE, QUIET, GREEN])
        axes.plot([100 * value for value in result.compared["alone"]], [2] * len(result.compared["alone"]), "o",
                  color="white", markeredgecolor="#134e4a", markersize=5)
        for place, value in enumerate(values):
            end = max(value, *(100 * each for each in result.compared["alone"])) if place == 2 else value
            axes.text(end, place, f"  {value:.2f} %", va="center")
        axes.set_yticks(range(3), ["federation", "one device", "workers alone"])
        axes.invert_yaxis()
        axes.set(xlabel="test accuracy, %", xlim=(0, 112))
        axes.grid(axis="y", visible=False)
        return svg(figure)


def presence(result: Result) -> str:
    """A mark per worker and round: took part, refused, or absent."""
    rounds = [record for record in result.records if record["round"]]
    workers = result.settings.workers
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_and_axes(7.6, 0.9 + 0.24 * workers)
        for kind, colour, label in (("in", BLUE, "took part"), ("refused", RED, "refused"),
                                    ("dropped", ORANGE, "dropped out")):
            points = [(record["round"], worker) for record in rounds for worker in range(workers)
                      if _kind(record, worker) == kind]
            if points:
                axes.scatter(*zip(*points, strict=True), color=colour, marker="s", label=label,
                             s=min(90.0, max(4.0, (380 / len(rounds)) ** 2)))
        axes.set(xlabel="round", xlim=(rounds[0]["round"] - 0.6, rounds[-1]["round"] + 0.6) if rounds else None,
                 ylim=(workers - 0.4, -0.6))
        axes.set_yticks(range(workers), [f"worker {worker}" for worker in range(workers)])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(visible=False)
        figure.legend(loc="outside upper left", ncols=3)
        return svg(figure)


def _kind(record: dict, worker: int) -> str | None:
    if any(entry["worker"] == worker for entry in record["refused"]):
        return "refused"
    if any(entry["worker"] == worker for entry in record["dropped"]):
        return "dropped"
    return "in" if str(worker) in record["workers"] else None


def traffic(rounds: list[dict]) -> str:
    """Bytes down and up, and seconds, per round."""
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = figure_and_axes(7.6, 2.4, ncols=2)
        place = [record["round"] for record in rounds]
        down = [sum(record["down"].values()) / 1000 for record in rounds]
        up = [sum(record["up"].values()) / 1000 for record in rounds]
        left.bar(place, down, color=BLUE, label="to the workers")
        left.bar(place, up, bottom=down, color=GREEN, label="to the hub")
        left.set(xlabel="round", ylabel="kB")
        left.margins(y=0.3)
        left.legend(loc="upper right", ncols=2)
        right.bar(place, [record["seconds"] for record in rounds], color=GRID, label="whole round")
        longest = [max((entry["seconds"] for entry in record["workers"].values()), default=0) for record in rounds]
        right.plot(place, longest, "o", color=ORANGE, markersize=3, label="slowest worker")
        right.set(xlabel="round", ylabel="seconds")
        right.margins(y=0.3)
        right.legend(loc="upper right", ncols=2)
        for axes in (left, right):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        return svg(figure)
