"""What every part of a run does with segments: fetch one's fields, go through all of them."""

from ...contract.autapse_chip import HEADER, SEGMENT_FIELDS, SEGMENT_WORDS, AutapseChip
from ...sequenced.instructions import MEMORY, Op, Program, When


def fetch_header(p: Program):
    """The header's fields to scratch places of their names."""
    p.load(p.constant(-1))
    for name in HEADER:
        p.do("NEXT", keep=True, read=True)
        p.do("LOAD", MEMORY, into=name)


def first_segment(p: Program, chip: AutapseChip):
    """The first segment is fetched next."""
    p.load(p.constant(chip.segments_at - 1))
    p.store("segment_at")
    p.load("layers")
    p.store("segments_left")


def last_segment(p: Program, chip: AutapseChip, name: str):
    """The last segment is fetched next."""
    first_segment(p, chip)
    p.label(f"{name} find")
    p.do("DEC", "segments_left", into="segments_left", when=When.ZERO, to=f"{name} found")
    next_segment(p)
    p.jump(f"{name} find")
    p.label(f"{name} found")


def next_segment(p: Program, *, back: bool = False):
    """One segment on, or back."""
    p.load(p.constant(-SEGMENT_WORDS if back else SEGMENT_WORDS))
    p.do("ADD", "segment_at", into="segment_at")


def segment_routines(p: Program):
    """The subroutines `fetch segment` and `scan sources`."""
    p.label("fetch segment")
    p.load("segment_at")
    for name in SEGMENT_FIELDS:
        p.do("NEXT", keep=True, read=True)
        p.do("LOAD", MEMORY, into=name)
    p.do("ZERO", op=Op.RETURN, when=When.ALWAYS)
    # The list of the segment's sources that spiked in this sweep; the step of its offsets is set.
    p.label("scan sources")
    p.do("LOAD", "inputs", op=Op.COUNT)
    p.load("inputs_offset")
    p.do("LOAD", "from_inputs", when=When.NONZERO, to="scan inputs")
    p.load("nodes_offset")
    p.label("scan inputs")
    p.do("ADD", "spikes_in", keep=True)
    p.do("SUB", p.constant(1), keep=True)
    p.do("ADD", p.constant(1), op=Op.SCAN)
    p.do("ZERO", op=Op.RETURN, when=When.ALWAYS)
