"""A measurement as tables on a terminal and as a picture."""

from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from ...sw_driver.errors import SpecError
from ...sw_driver.files import write_whole
from . import BenchError

FORMATS = ("svg", "png", "pdf")
_COLOURS = ("#3b6ea5", "#e08e45", "#5a9367", "#a04668", "#7d7d7d", "#c9a227")
_ROW, _HEAD, _LINES = 0.34, 1.15, 2.2   # inches of a bar, of what is around a chart, and of a chart of lines


def tables_of(found: dict) -> list[dict]:
    """The tables of a measurement; of one without any, its lists of dicts, each under its own name."""
    if "tables" in found:
        return found["tables"]
    return [{"title": name, "rows": value} for name, value in found.items()
            if isinstance(value, list) and value and all(isinstance(row, dict) for row in value) and name != "charts"]


def charts_of(found: dict) -> list[dict]:
    """The charts of a measurement; of one without any, a chart for the first number of each table's rows."""
    if "charts" in found:
        return found["charts"]
    charts = []
    for table in tables_of(found):
        rows = table["rows"]
        texts = [name for name, value in rows[0].items() if isinstance(value, str)]
        number = next((name for name, value in rows[0].items() if _is_number(value)), None)
        if number is not None:
            charts.append({"title": table["title"], "unit": number, "series": {number: [row[number] for row in rows]},
                           "labels": [", ".join(str(row[name]) for name in texts) for row in rows]})
    return charts


def text_of(value) -> str:
    """A cell: whole numbers with commas, others with four digits, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool) or not _is_number(value):
        return str(value)
    if isinstance(value, int) or abs(value) >= 10000:
        return f"{round(value):,}"
    return f"{value:.4g}"


def print_tables(found: dict, console: Console) -> None:
    """Title, tables and notes of a measurement."""
    console.print(found.get("title", found.get("subject", "")), style="bold", highlight=False)
    for name, value in found.get("settings", {}).items():
        console.print(f"  {name}: {text_of(value)}", highlight=False)
    for table in tables_of(found):
        columns = list(table["rows"][0]) if table["rows"] else []
        if not columns:
            continue
        drawn = Table(title=table["title"], title_justify="left", title_style="italic", header_style="bold",
                      box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for name in columns:
            numbers = all(_is_number(row[name]) or row[name] is None for row in table["rows"])
            drawn.add_column(name, justify="right" if numbers else "left", overflow="fold")
        for row in table["rows"]:
            drawn.add_row(*(text_of(row[name]) for name in columns))
        console.print(drawn)
    for note in found.get("notes", ()):
        console.print(f"- {note}", highlight=False)


def check_format(path: Path) -> None:
    """Refuses a picture of unknown kind, and says what to install where there is nothing to draw with."""
    if path.suffix[1:] not in FORMATS:
        raise SpecError(f"--plot must end in .{', .'.join(FORMATS)}, not {path.name!r}")
    try:
        import matplotlib  # noqa: F401  (asked for before minutes of measuring, not after)
    except ModuleNotFoundError:
        raise BenchError("--plot needs matplotlib, which is not installed; try pip install 'autapse[report]'") from None


def plot(found: dict, path: Path) -> None:
    """Draws the charts of a measurement one below the other into an svg, png or pdf file."""
    check_format(path)
    from matplotlib.figure import Figure
    charts = charts_of(found)
    if not charts:
        raise BenchError("there is nothing to draw in what was measured")
    heights = [_HEAD + (_LINES if "curves" in chart else _ROW * sum(len(row) for row in _bars(chart)))
               for chart in charts]
    figure = Figure(figsize=(9, sum(heights) + 0.5), layout="constrained")
    figure.suptitle(found.get("title", ""), fontsize=11)
    axes = figure.subplots(len(charts), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axis, chart in zip(axes, charts, strict=True):
        (_draw_lines if "curves" in chart else _draw)(axis, chart)
    write_whole(path, lambda file: figure.savefig(file, format=path.suffix[1:], dpi=150))


def _bars(chart: dict) -> Iterator[list[str]]:
    """For each label, the series that have a bar of their own."""
    for _ in chart["labels"]:
        yield list(chart["series"]) if chart.get("stacked") is False else ["all"]


def _draw(axis, chart: dict) -> None:
    labels, series = chart["labels"], chart["series"]
    count = 1 if chart.get("stacked", True) else len(series)
    height = 0.8 / count
    before = [0.0] * len(labels)
    for number, (name, values) in enumerate(series.items()):
        shift = 0.0 if count == 1 else (number - (count - 1) / 2) * height
        places = [row + shift for row in range(len(labels))]
        shown = [value or 0 for value in values]
        axis.barh(places, shown, height=0.92 * height, left=before if count == 1 else None,
                  color=_COLOURS[number % len(_COLOURS)], label=name)
        for place, value, start in zip(places, values, before, strict=True):
            if value is not None and (count > 1 or len(series) == 1):
                axis.annotate(text_of(value), (value + start, place), xytext=(4, 0), textcoords="offset points",
                              va="center", fontsize=8)
        if count == 1:
            before = [left + value for left, value in zip(before, shown, strict=True)]
    for number, (name, values) in enumerate(chart.get("marks", {}).items()):
        points = [(value, row) for row, value in enumerate(values) if value is not None]
        if points:
            axis.scatter(*zip(*points, strict=True), marker="|", s=420, linewidth=2.2, zorder=3,
                         color=("black", "#b3001b", "#2a7f2a")[number % 3], label=name)
    axis.set_yticks(range(len(labels)), labels, fontsize=8)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.margins(x=0.14)
    axis.set_xlim(left=0)
    axis.xaxis.set_major_formatter(lambda value, place: f"{value:,.0f}" if value >= 10 else f"{value:g}")
    axis.set_xlabel(chart.get("unit", ""), fontsize=8)
    axis.tick_params(axis="x", labelsize=8)
    axis.set_title(chart["title"], fontsize=9, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
    if len(axis.get_legend_handles_labels()[0]) > 1:
        axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, labelspacing=1.0)


def _draw_lines(axis, chart: dict) -> None:
    for number, (name, points) in enumerate(chart["curves"].items()):
        colour = _COLOURS[number % len(_COLOURS)]
        axis.plot(*zip(*points, strict=True), marker="o", markersize=3, color=colour, label=name)
        if name in chart.get("levels", {}):
            axis.axhline(chart["levels"][name], color=colour, linewidth=0.8, linestyle=":")
    for name, place in chart.get("limits", {}).items():
        axis.axvline(place, color="black", linewidth=1.2, linestyle="--", label=name)
    axis.set_xlim(left=0)
    axis.set_ylim(0, chart.get("top"))
    axis.set_xlabel(chart.get("unit", ""), fontsize=8)
    axis.set_ylabel(chart.get("value", ""), fontsize=8)
    axis.tick_params(labelsize=8)
    axis.set_title(chart["title"], fontsize=9, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, labelspacing=1.0)


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
