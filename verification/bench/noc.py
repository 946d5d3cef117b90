"""Latency over load and saturation of the network on the chip, beside what its topology allows."""

import re

from ...hw.contract.noc import PACKET_FLITS, MeshShape
from ..traffic.patterns import PATTERNS, traffic_of
from ..traffic.simulate import TrafficError, build, run
from . import BenchError

STEPS = (0.05, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0)    # of the limit
QUICK = (0.05, 0.6, 1.0)
BEYOND = 1.5        # of the limit: what comes through when more is offered
LENGTHS = (1, 4, PACKET_FLITS)


def measure(*, quick: bool, say, mesh: str | None = None) -> dict:
    """Every pattern on a mesh, 4x4 unless told, in packets of 1, 4 and 16 flits; quick: 4 flits, and fewer loads.

    Raises
    ------
    BenchError
        If the mesh is none, cannot be built, or loses, repeats, changes or reorders anything.
    """
    sides = re.fullmatch(r"(\d+)x(\d+)", mesh or "4x4")
    if sides is None:
        raise BenchError(f"--mesh must be columns x rows such as 4x4, not {mesh!r}")
    try:
        shape = MeshShape(int(sides[1]), int(sides[2]))
    except ValueError as error:
        raise BenchError(str(error)) from None
    lengths, steps = ((4,), QUICK) if quick else (LENGTHS, STEPS)
    cycles = 3000 if quick else 10000
    say(f"building the {shape} mesh", 0.0)
    rows, charts = [], []
    try:
        program = build(shape)
        for number, pattern in enumerate(PATTERNS):
            try:
                traffic = traffic_of(shape, pattern)
            except ValueError:
                continue    # nobody sends
            limit, curves = traffic.limit(), {}
            for flits in lengths:
                say(f"{pattern}, packets of {flits}", (number + lengths.index(flits) / len(lengths)) / len(PATTERNS))
                points = [run(program, traffic, rate=step * limit, flits=flits, warm_up=cycles // 4, cycles=cycles)
                          for step in (*steps, BEYOND)]
                ideal = traffic.zero_load(flits)
                rows.append({
                    "pattern": pattern, "packet": flits, "limit": limit, "saturation": points[-1]["accepted"],
                    "of limit": points[-1]["accepted"] / limit, "ideal latency": ideal, "at 5 %": points[0]["mean"],
                    "at 60 %": points[steps.index(0.6)]["mean"], "p99 at 60 %": points[steps.index(0.6)]["p99"]})
                curves[_packets(flits)] = [(point["accepted"], point["mean"]) for point in points]
            charts.append({
                "title": pattern, "unit": "flits per sender and cycle, accepted", "value": "cycles", "curves": curves,
                "top": 8 * max(traffic.zero_load(flits) for flits in lengths),
                "levels": {_packets(flits): traffic.zero_load(flits) for flits in lengths},
                "limits": {"limit of the topology": limit}})
    except TrafficError as error:
        raise BenchError(str(error)) from None
    say("done", 1.0)
    return {
        "title": f"Network on the chip: a {shape} mesh under traffic",
        "settings": {"mesh": str(shape), "cycles of each point": cycles, "warm-up": cycles // 4},
        "tables": [{"title": "saturation and latency", "rows": rows}],
        "charts": charts,
        "notes": [
            "limit: flits per sender and cycle at which the fullest link, or port of a core, carries one every cycle",
            f"saturation: accepted when {BEYOND} of the limit is offered, a mean over senders with ways of their own",
            "latency: cycles from making a packet to its last flit taken; ideal (dotted): with nothing in the way",
            "every flit of every run was compared with what was sent, in order"],
    }


def _packets(flits: int) -> str:
    return f"{flits} flit{'s' if flits > 1 else ''}"
