"""Coefficients of the estimate, from what chips really took: `python -m autapse.gateware.calibrate`.

Whole builds are those of docs/boards.json (`autapse build … --record docs/boards.json`). For cells and registers there
are also chips that were only put through synthesis, docs/sizes.json, which `--sizes` measures: as nextpnr packs them, a
LUT is one cell, a carry two, four words of RAM made of cells six. One core alone is in docs/synthesis.json, routed.
`coefficients.json` holds the least squares of all.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from ..boards import boards
from ..hw.contract.chip import ChipConfig
from .room import COEFFICIENTS, features, kind_of
from .synthesis import demo_config

DOCS = Path(__file__).parents[1] / "docs"
_DEPTHS = {"units": 1, "layers": 4, "events": 1024, "synapses": 4096, "parameters": 64, "neurons": 64,
           "spike_rows": 2048, "readouts": 16}
_TRAINING = {"mask_rows": 256, "membrane_rows": 512, "error_rows": 512, "history_words": 1024, "active_words": 64,
             "error_inputs": 16}
_MESH = {"mesh_width": 2, "mesh_height": 2, "link_counters": False}
_ROWS = {"remote_rows": 256, "routes": 64}
SIZES: dict[str, ChipConfig] = {
    "2 lanes": ChipConfig(lanes=2, units=1, layers=4, events=256, synapses=8192, parameters=256, neurons=256,
                          spike_rows=1024, mask_rows=512, membrane_rows=1024, error_rows=4096, history_words=1024,
                          active_words=256, readouts=16, error_inputs=16),
    "tile, 4 lanes": ChipConfig(lanes=4, **_DEPTHS | {"spike_rows": 4096}, **_TRAINING, **_MESH | {"mesh_width": 3},
                                **_ROWS),
    "tile, 8 lanes": ChipConfig(lanes=8, **_DEPTHS, **_TRAINING, **_MESH, **_ROWS),
    "tile, 8 lanes, 2 layers": ChipConfig(
        lanes=8, units=1, layers=2, events=1024, synapses=3072, parameters=16, neurons=16, spike_rows=2048,
        mask_rows=64, membrane_rows=64, error_rows=256, history_words=1024, active_words=16, readouts=16,
        error_inputs=16,
        remote_rows=32, routes=32, sum_bits=51, product_bits=91, **_MESH),
    "inference, 4 lanes": ChipConfig(lanes=4, training=False, **_DEPTHS),
    "inference, 16 lanes": ChipConfig(lanes=16, training=False, **_DEPTHS),
    "inference tile, 16 lanes": ChipConfig(lanes=16, training=False, **_DEPTHS, **_MESH),
}
_CYCLES = {"forward": 90, "backward": 63, "update": 174}    # docs/sequenced.md says how they are measured


def size(config: ChipConfig, *, tile: bool) -> dict[str, int]:
    """Cells and registers of a chip, or of one tile of a mesh, on an ECP5 after synthesis. Takes minutes."""
    from ..hw.noc.tile import Tile
    from .flow import find, synthesis
    from .once import Apart, convert
    from .top import Top
    component = Tile(config) if tile else Top(config, clock_hz=60e6)
    apart = Apart()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "design.il").write_text("\n".join(convert(component, name="top", apart=apart).values()))
        counts = synthesis(find("yosys"), folder, "ecp5", repeated=tuple(apart.modules))
    return {"cells": counts["LUT4"] + 2 * counts["CCU2C"] + 6 * counts.get("TRELLIS_DPR16X4", 0),
            "registers": counts["TRELLIS_FF"]}


def fit(points: list[tuple[dict[str, float], float]]) -> dict[str, float]:
    """Least squares of relative errors: coefficients by feature. Those that no point tells apart get least values."""
    names = sorted({name for found, _ in points for name in found})
    table = np.array([[found.get(name, 0.0) / value for name in names] for found, value in points])
    solved, *_ = np.linalg.lstsq(table, np.ones(len(points)), rcond=None)
    return {name: round(float(value), 1) for name, value in zip(names, solved, strict=True)}


def calibrate(builds: dict, sizes: dict, core: dict) -> dict:
    """`coefficients.json` of records: {command: build}, {name of SIZES: counts}, figures of the core alone."""
    known = boards()
    families: dict[str, dict] = {}
    for what in ("cells", "registers"):
        points = []
        for name, counts in sizes.items():
            found = features(SIZES[name])
            if "tile" in name:
                found = {part: count / SIZES[name].nodes for part, count in found.items()
                         if not part.startswith("link")}
            points.append((found, counts[what]))
        alone = features(demo_config(lanes=8, units=1, shared=False))
        points.append(({part: count for part, count in alone.items() if not part.startswith("link")}, core[what]))
        points += [(features(ChipConfig(**built["config"])), built["used"][what]) for built in builds.values()
                   if known[built["board"]].device.family == "ecp5"]
        families.setdefault("ecp5", {})[what] = fit(points)
    for family in ("ice40", "xilinx"):
        some = [built for built in builds.values() if known[built["board"]].device.family == family]
        families[family] = {}
        for what in ("cells", "registers"):
            of_ecp5 = families["ecp5"][what]
            shares = [built["used"][what] / sum(of_ecp5[name] * count for name, count in
                                                features(ChipConfig(**built["config"])).items())
                      for built in some if what in built["used"]]
            if shares:
                families[family][what] = {name: round(value * float(np.mean(shares)), 1)
                                          for name, value in of_ecp5.items()}
    for family, entry in families.items():
        entry["clock"] = _clock([built for built in builds.values() if known[built["board"]].device.family == family],
                                known, core if family == "ecp5" else None)
    return {"families": families, "sequenced cycles": _CYCLES}


def _clock(builds: list[dict], known: dict, core: dict | None) -> dict:
    """Fmax of speed grade 6 by kind of chip (`kind_of`), and factors of other grades.

    Of a kind with three builds or more it is a line over block RAMs, which lie all over a device: what takes longest in
    a full one is a wire to one of them. Otherwise it is the mean.
    """
    def grade(built):
        return known[built["board"]].device.speed

    def kind(built):
        return kind_of(ChipConfig(**built["config"]))

    routed = [built for built in builds if "Fmax (MHz)" in built]
    kinds = sorted({kind(built) for built in routed})
    speed = {"6": 1.0}
    for other in sorted({grade(built) for built in routed} - {"6", ""}):
        ratios = []
        for name in kinds:
            mine, slow = ([built["Fmax (MHz)"] for built in routed if kind(built) == name and grade(built) == which]
                          for which in (other, "6"))
            if mine and slow:
                ratios.append(float(np.mean(mine) / np.mean(slow)))
        if ratios:
            speed[other] = round(float(np.mean(ratios)), 3)
    found: dict = {"speed": speed, "kinds": {}}
    for name in sorted({*kinds, *(["training"] if core is not None else [])}):
        points = [(built["used"]["block_ram"], built["Fmax (MHz)"] / speed.get(grade(built), 1.0))
                  for built in routed if kind(built) == name]
        if core is not None and name == "training":
            points.append((core["block_ram"], core["Fmax (MHz)"]))
        rams, values = np.array(points).T
        slope, empty = np.polyfit(rams, values, 1) if len(set(rams)) > 2 else (0.0, np.mean(values))
        found["kinds"][name] = {"empty": round(float(empty), 1), "per block RAM": round(float(slope), 4)}
    return found


def core_figures(synthesis: dict) -> dict[str, float]:
    """Of the core that was routed alone, from docs/synthesis.json, by the names of builds."""
    alone = synthesis["core, 8+8+8 lanes"]["figures"]
    return {"cells": alone["cells (LUT4 and carry)"], "registers": alone["registers"],
            "block_ram": alone["block RAM (DP16KD)"], "Fmax (MHz)": alone["Fmax (MHz)"]}


def compare(builds: dict) -> list[tuple[str, str, float, float]]:
    """(board, what, estimated, built) of every build."""
    from .room import clock_of, takes
    rows = []
    for built in builds.values():
        board, config = boards()[built["board"]], ChipConfig(**built["config"])
        told = takes(config, board.device)
        rows += [(board.name, name, told[name], value) for name, value in built["used"].items() if name in told]
        if "Fmax (MHz)" in built:
            rows.append((board.name, "Fmax (MHz)", clock_of(config, board.device), built["Fmax (MHz)"]))
    return rows


def main(arguments=None) -> int:
    """The command; 0, or 2 with a sentence."""
    parser = argparse.ArgumentParser(prog="python -m autapse.gateware.calibrate", description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", action="store_true", help="first measure the chips of docs/sizes.json that it lacks")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of boards.json and sizes.json")
    options = parser.parse_args(arguments)
    try:
        builds = json.loads((options.docs / "boards.json").read_text())
    except FileNotFoundError as error:
        print(f"calibrate: there is no {error.filename}; make it with autapse build BOARD --record FILE",
              file=sys.stderr)
        return 2
    path = options.docs / "sizes.json"
    sizes = json.loads(path.read_text()) if path.exists() else {}
    if options.sizes:
        for name, config in SIZES.items():
            if name not in sizes:
                print(f"{name} …", file=sys.stderr, flush=True)
                sizes[name] = size(config, tile="tile" in name)
                path.write_text(json.dumps(sizes, indent=1) + "\n")
    core = core_figures(json.loads((options.docs / "synthesis.json").read_text()))
    COEFFICIENTS.write_text(json.dumps(calibrate(builds, sizes, core), indent=1) + "\n")
    for board, what, told, real in compare(builds):
        print(f"{board:<16}{what:<12}{told:>10,.1f} estimated {real:>10,.1f} built {100 * (told / real - 1):+7.1f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
