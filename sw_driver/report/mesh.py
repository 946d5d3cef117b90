"""A mesh as a picture: what sits where, how much it has to do, how full the links are."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrow, FancyBboxPatch, Rectangle

from ..compile.mapping import Mapping
from ..files import write_whole
from .figures import BLUE, GREEN, GRID, INK, ORANGE, PLAIN, QUIET

_LAYERS = (BLUE, ORANGE, GREEN, "#7c3aed", "#be185d", "#65a30d", "#0369a1", "#a16207")
_HEAT = "YlOrRd"
# In inches: a core's box, the gap for links, a cut in a box, the head of a box, and margins.
_WIDE, _GAP, _CUT, _HEAD = 1.35, 0.6, 0.24, 0.3
_LEFT, _RIGHT, _TOP, _BOTTOM, _LINE = 0.25, 1.1, 0.95, 0.2, 0.24
_TEXT = 5.6     # that the lines above the mesh take
_COLUMNS = 3    # of the legend


def write_plot(mapping: Mapping, path: Path) -> None:
    """Draws the mesh into an svg, png or pdf file, which is whole or absent."""
    with matplotlib.rc_context(PLAIN):
        figure = _Picture(mapping).figure
        metadata = {"Date": None} if path.suffix == ".svg" else None
        write_whole(path, lambda file: figure.savefig(file, format=path.suffix[1:], dpi=150, metadata=metadata))


class _Picture:
    def __init__(self, mapping: Mapping):
        self.mapping, plan = mapping, mapping.plan
        self._width, self._nodes = plan.mesh_width, plan.nodes
        most = max(len(plan.of_core(core)) for core in range(plan.nodes))
        self._high = _HEAD + _CUT * max(most, 2) + 0.08
        across = self._width * (_WIDE + _GAP) - _GAP
        down = plan.mesh_height * (self._high + _GAP) - _GAP
        lines = -(-len(mapping.network.layers) // _COLUMNS)
        bottom = _BOTTOM + _LINE * lines + 0.15
        wide, high = max(_LEFT + across + _RIGHT, _TEXT), _TOP + down + bottom
        self.figure = Figure(figsize=(wide, high))
        self.figure.patch.set_facecolor("white")
        self._axes = self.figure.add_axes((_LEFT / wide, bottom / high, across / wide, down / high))
        self._axes.set(xlim=(0, across), ylim=(-down, 0))
        self._axes.axis("off")
        bar = min(down, 4.0)
        self._bar = ((_LEFT + across + 0.3) / wide, (bottom + (down - bar) / 2) / high, 0.14 / wide, bar / high)
        self._texts(wide, high)
        self._links()
        for core in range(self._nodes):
            self._core(core)
        handles = [Rectangle((0, 0), 1, 1, facecolor=_LAYERS[index % len(_LAYERS)], linewidth=0)
                   for index in range(len(mapping.network.layers))]
        labels = [f"layer {index}: {layer.inputs} x {layer.outputs}"
                  for index, layer in enumerate(mapping.network.layers)]
        self.figure.legend(handles, labels, loc="lower left", ncols=_COLUMNS, fontsize=8, handlelength=1,
                           handleheight=1, bbox_to_anchor=(_LEFT / wide, 0.08 / high), borderaxespad=0)

    def _texts(self, wide: float, high: float) -> None:
        mapping, told = self.mapping, self.mapping.prediction
        title = f"{mapping.network} on {self._width}x{mapping.plan.mesh_height} cores, {mapping.lanes} lanes"
        cycles = (f"{told.per_sample:,.0f} cycles per sample predicted, one core alone "
                  f"{mapping.alone.per_sample:,.0f}; placement {mapping.method}")
        boxes = "boxes: neurons of each cut, and as a bar the core's work beside the longest core's"
        for text, size, colour, down in ((title, 12, INK, 0.14), (cycles, 8.5, QUIET, 0.42), (boxes, 8.5, QUIET, 0.6)):
            self.figure.text(_LEFT / wide, 1 - down / high, text, fontsize=size, color=colour, va="top")

    def _corner(self, core: int) -> tuple[float, float]:
        """Lower left of a core's box; row 0 is at the top, and y falls."""
        return core % self._width * (_WIDE + _GAP), -(core // self._width) * (self._high + _GAP) - self._high

    def _core(self, core: int) -> None:
        x, y = self._corner(core)
        axes, cuts, top = self._axes, self.mapping.plan.of_core(core), y + self._high
        axes.add_patch(FancyBboxPatch((x, y), _WIDE, self._high, boxstyle="round,pad=0,rounding_size=0.08", zorder=3,
                                      linewidth=0.8, facecolor="white", edgecolor=QUIET if cuts else GRID,
                                      clip_on=False))
        axes.text(x + 0.1, top - 0.17, str(core), va="center", fontsize=8, color=INK if cuts else QUIET, zorder=4,
                  fontweight="bold")
        if not cuts:
            axes.text(x + _WIDE / 2, y + self._high / 2 - 0.05, "empty", ha="center", va="center", fontsize=8,
                      color=QUIET, zorder=4)
            return
        share = self.mapping.balance.cores[core] / self.mapping.balance.longest
        left, wide = x + 0.38, _WIDE - 0.48
        axes.add_patch(Rectangle((left, top - 0.21), wide, 0.08, facecolor=GRID, zorder=4))
        axes.add_patch(Rectangle((left, top - 0.21), wide * share, 0.08, facecolor=QUIET, zorder=4))
        for number, (layer, cut) in enumerate(sorted(cuts.items())):
            low, colour = top - _HEAD - (number + 1) * _CUT, _LAYERS[layer % len(_LAYERS)]
            axes.add_patch(Rectangle((x + 0.1, low + 0.02), _WIDE - 0.2, _CUT - 0.04, zorder=4, linewidth=0,
                                     facecolor=colour, alpha=0.16))
            axes.add_patch(Rectangle((x + 0.1, low + 0.02), 0.05, _CUT - 0.04, zorder=4, linewidth=0, facecolor=colour))
            axes.text(x + _WIDE / 2 + 0.02, low + _CUT / 2 - 0.005, f"{cut.first}–{cut.last - 1}", ha="center",
                      va="center", fontsize=7.5, color=INK, zorder=5)

    def _links(self) -> None:
        told = self.mapping.prediction
        if not len(told.flits):
            return
        most = max(float(told.flits.max()), 1e-9)
        shades = matplotlib.colormaps[_HEAT]
        for (one, two), flits in zip(told.links, told.flits, strict=True):
            share = float(flits) / most
            middle = [np.array(self._corner(core)) + np.array([_WIDE, self._high]) / 2 for core in (one, two)]
            along = np.sign(np.round(middle[1] - middle[0], 6))
            half = (_WIDE if along[0] else self._high) / 2
            # Two links side by side, each on the right of its way.
            begin = middle[0] + along * (half + 0.05) + 0.14 * np.array([along[1], -along[0]])
            self._axes.add_patch(FancyArrow(
                *begin, *(along * (_GAP - 0.1)), width=0.06 + 0.09 * share, head_width=0.23, head_length=0.16,
                length_includes_head=True, facecolor=shades(0.12 + 0.88 * share) if flits else GRID,
                edgecolor="#8a8f98", linewidth=0.35, zorder=2, clip_on=False))
        # The scale shows the colours that links have, of which the palest are left out.
        used = ListedColormap(shades(np.linspace(0.12, 1, 256)))
        bar = self.figure.colorbar(ScalarMappable(Normalize(0, most), used), cax=self.figure.add_axes(self._bar))
        bar.set_label("flits per sample over a link", fontsize=8, color=QUIET)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=7, length=0)
