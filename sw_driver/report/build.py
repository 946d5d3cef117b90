"""The page of a board's build: does it fit, how fast, how full."""

from pathlib import Path

import matplotlib
import numpy as np

from ..files import write_text
from .figures import BLUE, GRID, ORANGE, QUIET, STYLE, figure_and_axes, svg
from .page import HEAD

NAMES = {"cells": "cells", "registers": "registers", "dsp": "DSP", "block_ram": "block RAM", "large_ram": "large RAM"}
_PATH_STEPS = 14

_TEMPLATE = HEAD + """<h1>{{ title }}</h1>
<p class="sub">{{ subtitle }}</p>
<div class="cards">{% for value, label in cards %}
  <div class="card"><b>{{ value }}</b><span>{{ label }}</span></div>{% endfor %}
</div>
<section><h2>Utilisation</h2>{{ use | safe }}
<table><tr><th></th><th class="n">used</th><th class="n">there is</th><th class="n">share</th></tr>
{% for name, used, have in rows %}<tr><td>{{ name }}</td><td class="n">{{ "{:,}".format(used) }}</td>
<td class="n">{{ "{:,}".format(have) }}</td><td class="n">{{ "{:.0f} %".format(100 * used / have) }}</td></tr>
{% endfor %}</table></section>
{% if path %}<section><h2>Longest path</h2><p class="note {{ warn }}">{{ timing }}</p>
<table><tr><th>step</th><th class="n">ns</th><th>at</th></tr>
{% for step in path %}<tr><td>{{ step.kind }}</td><td class="n">{{ "{:.2f}".format(step.ns) }}</td>
<td>{{ step.net }}</td></tr>{% endfor %}</table></section>{% endif %}
<section><h2>Chip</h2><table>{% for name, value in config %}
<tr><td>{{ name }}</td><td class="n">{{ value }}</td></tr>{% endfor %}</table></section>
<section><h2>Build</h2><table>{% for name, value in settings %}
<tr><td>{{ name }}</td><td>{{ value }}</td></tr>{% endfor %}</table></section>
<footer>{{ footer }}</footer>
</main></body></html>
"""


def rows_of(result: dict) -> list[tuple[str, int, int]]:
    """(name, used, there is) of all that a device has."""
    return [(NAMES[name], result["used"].get(name, 0), have) for name, have in result["there is"].items()]


def _bars(rows) -> str:
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_and_axes(7.6, 0.7 + 0.42 * len(rows))
        place = np.arange(len(rows))
        share = np.array([100 * used / have for _, used, have in rows])
        axes.barh(place, np.full(len(rows), 100.0), height=0.6, color=GRID)
        axes.barh(place, share, height=0.6, color=[ORANGE if value > 90 else BLUE for value in share])
        for y, value in enumerate(share):
            axes.text(max(value, 1), y, f"  {value:.0f} %", va="center", color=QUIET)
        axes.set_yticks(place, [name for name, _, _ in rows])
        axes.invert_yaxis()
        axes.set_xlim(0, 112)
        axes.set_xlabel("per cent of the device")
        axes.grid(axis="y", visible=False)
        return svg(figure)


def _parts(config: dict) -> list[tuple[str, str]]:
    """What there is several of, in a chip of layers or with an autapse core."""
    if "mesh_width" not in config:
        return [("1", "autapse core"), (f"{config['units']}", "unit" if config["units"] == 1 else "units")]
    nodes = config["mesh_width"] * config["mesh_height"]
    engines = 1 if config["shared"] or not config["training"] else 3
    lanes = nodes * engines * config["lanes"]
    return [(f"{nodes}", "core" if nodes == 1 else "cores"),
            (f"{lanes}", "engine lane" if lanes == 1 else "engine lanes")]


def write_build_report(path: Path, result: dict, *, title: str, footer: str) -> None:
    """Writes the page of what `gateware.build.build` gave; the file is whole or absent."""
    from jinja2 import Environment
    rows, fmax, clock = rows_of(result), result.get("Fmax (MHz)"), result["clock (MHz)"]
    config = result["config"]
    cards = [(f"{100 * used / have:.0f} %", f"of {name}") for name, used, have in rows if name != "registers"]
    cards = [*_parts(config), *([(f"{fmax:.1f} MHz", f"reached, {clock:g} asked for")] if fmax else []), *cards]
    meets = result.get("meets its clock", True)
    verdict = f"the chip {'runs at' if meets else 'does not reach'} {clock:g} MHz. Its first {_PATH_STEPS} steps:"
    timing = f"{1000 / fmax:.2f} ns, {1000 / clock:.2f} ns are there: {verdict}" if fmax else ""
    settings = [(name, ", ".join(map(str, value)) if isinstance(value, list) else value) for name, value in
                result.items() if name in ("device", "oscillator (MHz)", "clock (MHz)", "line", "baud", "seed", "tools",
                                           "bitstream", "bytes", "sha256", "project", "note")]
    if result.get("line") == "fifo":
        settings = [(name, value) for name, value in settings if name != "baud"]
    settings = [(name, "found from the first frame" if name == "baud" and value is None else value)
                for name, value in settings]
    settings.append(("seconds", ", ".join(f"{part} {value:g}" for part, value in result["seconds"].items())))
    page = Environment(autoescape=True).from_string(_TEMPLATE).render(
        title=title, subtitle=f"{result['device']}: {'made for' if fmax else 'project for'} {clock:g} MHz", cards=cards,
        use=_bars(rows), rows=rows, path=result.get("critical path", [])[:_PATH_STEPS], timing=timing,
        warn="" if meets else "warn", config=config.items(), settings=settings, footer=footer)
    write_text(path, page)
