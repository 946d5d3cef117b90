"""What every phase does: fetch a layer's descriptor, count visits and cycles, keep exact readouts."""

from ...contract.program import ENGINES, LAYER_FIELDS, LAYER_ROW, Space, words_of
from ..instructions import MEMORY, MOVED, RAW, RESULT, Op, Program, Taken, When
from ..places import Places

# Addresses in a descriptor count rows of a space; those of two words count twice.
_ADDRESSES = {
    Space.SYNAPSES: ("weights", "remainders", "momenta", "next_weights"),
    Space.PARAMETERS: ("parameters",), Space.SPIKES: ("spikes_in", "spikes_out"), Space.MASKS: ("masks",),
    Space.MEMBRANES: ("membranes",), Space.ERRORS: ("errors", "next_errors"), Space.HISTORY: ("history",),
    Space.ACTIVE: ("active",),
}
_TWO_WORDS = ("parameters", "history", "active")
_NUMBERS = ("spiking", "soft", "detach", "strict", "bias", "per_neuron", "keep_membrane", "half_width_log",
            "height_log", "inputs", "outputs", "row_step", "state", "next_row_step", "next_outputs")

LIMBS = 4


def layer_routines(p: Program, where: Places):
    """The subroutines `fetch layer` and `add readout`."""
    _fetch_layer(p, where)
    add_readout(p)


def first_layer(p: Program, where: Places):
    """Makes the first layer the one that is fetched next."""
    p.load(p.constant(where.base[Space.LAYERS] - 1))
    p.store("layer_at")
    p.load("layers")
    p.store("layers_left")


def _fetch_layer(p: Program, where: Places):
    """From the descriptor behind `layer_at` to scratch places named as its fields, addresses in the one memory."""
    addresses = [name for space, names in _ADDRESSES.items() if space in where.base for name in names]
    p.label("fetch layer")
    p.load("layer_at")
    for name, bits, _ in LAYER_FIELDS:
        for word in range(words_of(bits)):
            wanted = word == 0 and (name in _NUMBERS or name in addresses)
            p.do("NEXT", keep=True, read=wanted)
            if wanted:
                p.do("LOAD", MEMORY, into=name)
    for name in _TWO_WORDS:
        if name in addresses:
            p.load(name)
            p.do("ADD", name, into=name)
    for space, names in _ADDRESSES.items():
        if space in where.base:
            p.load(p.constant(where.base[space]))
            for name in names:
                p.do("ADD", name, into=name)
    p.load(p.constant(where.state))
    p.do("ADD", "state", into="state")
    # Dense visits of a neuron, forward.
    p.load("inputs")
    p.do("ADD", "bias", keep=True)
    p.store("sources")
    # h as a binary16 word: its logarithm is 15 to -16, the last two are subnormal.
    p.load("half_width_log")
    p.do("ADD", p.constant(15), keep=True, when=When.NEGATIVE, to="half 2^-16")
    p.do("PASS", when=When.ZERO, to="half 2^-15")
    for _ in range(10):
        p.store("half_width")
        p.do("ADD", "half_width", keep=True)
    p.jump("half done")
    p.label("half 2^-15")
    p.load(p.constant(0x0200))
    p.jump("half done")
    p.label("half 2^-16")
    p.load(p.constant(0x0100))
    p.label("half done")
    p.store("half_width")
    # c is 2^24 units of 2^-24, moved.
    p.load("height_log")
    p.do("ADD", p.constant(24), keep=True)
    p.store("height")
    p.do("ZERO", op=Op.RETURN, when=When.ALWAYS)


def add_readout(p: Program):
    """Exact sum += Y times the readout in front of which `readout_at` points; that points to its last word then.

    Its four words count as signed, so each that is negative owes the next one a unit.
    """
    p.label("add readout")
    for limb in range(LIMBS):
        p.do("INC", "readout_at", into="readout_at", read=True)
        p.do("LOAD", p.constant(16 * limb), op=Op.POWER)
        p.do("LOAD", MEMORY, keep=True, op=Op.MULTIPLY, how=RAW | MOVED)
        if limb < LIMBS - 1:
            p.do("PASS", when=When.POSITIVE, to=f"limb {limb} done")
            p.do("LOAD", p.constant(16 * limb + 16), op=Op.POWER)
            p.do("LOAD", p.constant(1), op=Op.MULTIPLY, how=RAW | MOVED)
            p.label(f"limb {limb} done")
    p.do("ZERO", op=Op.RETURN, when=When.ALWAYS)


def store_readout(p: Program):
    """The exact sum to the four words in front of which `readout_at` points."""
    for limb in range(LIMBS):
        p.do("ZERO", op=Op.TAKE, how=Taken.LIMB_0.value + limb)
        p.load(RESULT)
        p.do("INC", "readout_at", into="readout_at", write=True)


def load_parameters(p: Program):
    """Decay and threshold of the neuron at `parameter_at`, which moves on if each neuron has its own."""
    p.do("LOAD", "parameter_at", read=True)
    p.do("INC", "parameter_at", into="parameter_at", read=True)
    p.do("LOAD", MEMORY, into="decay")
    p.do("LOAD", MEMORY, into="threshold")
    p.load("parameter_step")
    p.do("ADD", "parameter_at", into="parameter_at")


def first_parameters(p: Program):
    """Before a layer's first neuron: where its constants lie, and from the second word to the next one's first."""
    p.load("parameters")
    p.store("parameter_at")
    p.load("per_neuron")
    p.do("ADD", "per_neuron", keep=True)
    p.do("SUB", p.constant(1), keep=True)
    p.store("parameter_step")


def rounded(p: Program, name: str | None = None):
    """X and a scratch place <- rnd(exact sum)."""
    p.do("ZERO", op=Op.ROUND)
    p.load(RESULT, into=name)


def product(p: Program, a: str, b: str, *, power: str | None = None):
    """Exact sum <- a·b, moved by 2^power."""
    p.do("ZERO", op=Op.FORGET)
    p.do("LOAD", b, op=Op.FACTOR)
    if power:
        p.do("LOAD", power, op=Op.POWER)
    p.do("LOAD", a, op=Op.MULTIPLY, how=MOVED if power else 0)


def count_visits(p: Program, engine: str):
    """Adds the lane's visits since the sum was forgotten; X holds them."""
    p.do("ZERO", op=Op.TAKE, how=Taken.VISITS)
    p.load(RESULT)
    p.do("ADD", f"{engine}.busy.0", into=f"{engine}.busy.0")
    p.do("CARRY", f"{engine}.busy.1", into=f"{engine}.busy.1")


def count_dense(p: Program, engine: str, visits: str):
    """Adds what a neuron or synapse would take without sparsity."""
    p.load(visits)
    p.do("ADD", f"{engine}.dense.0", into=f"{engine}.dense.0")
    p.do("CARRY", f"{engine}.dense.1", into=f"{engine}.dense.1")


def phase_starts(p: Program, engine: str):
    """Active cycles -= cycles until now."""
    p.do("ZERO", op=Op.TAKE, how=Taken.CYCLES_0)
    p.load(RESULT)
    p.do("FROM", f"{engine}.active.0", into=f"{engine}.active.0")
    p.do("ZERO", op=Op.TAKE, how=Taken.CYCLES_1)
    p.load(RESULT)
    p.do("FROM KEPT", f"{engine}.active.1", into=f"{engine}.active.1")


def phase_ends(p: Program, engine: str):
    """Active cycles += cycles until now; skipped and stalled are what active cycles and dense visits exceed busy."""
    p.do("ZERO", op=Op.TAKE, how=Taken.CYCLES_0)
    p.load(RESULT)
    p.do("ADD", f"{engine}.active.0", into=f"{engine}.active.0")
    p.do("ZERO", op=Op.TAKE, how=Taken.CYCLES_1)
    p.load(RESULT)
    p.do("ADD KEPT", f"{engine}.active.1", into=f"{engine}.active.1")
    for whole, rest in (("dense", "skipped"), ("active", "stalled")):
        for half, difference in ((0, "SUB"), (1, "SUB KEPT")):
            p.load(f"{engine}.{whole}.{half}")
            p.do(difference, f"{engine}.busy.{half}", keep=True)
            p.store(f"{engine}.{rest}.{half}")


def clear_counters(p: Program):
    """All counters, and what they are made from, to 0, if the host has asked for it."""
    p.jump("counted", When.COUNTED)
    p.do("ZERO", keep=True, op=Op.CLEARED)
    for engine in ENGINES:
        for kind in ("busy", "skipped", "stalled", "dense", "active"):
            for half in (0, 1):
                p.store(f"{engine}.{kind}.{half}")
    p.label("counted")


def publish_cycles(p: Program):
    """The cycles that the core was busy."""
    for half, taken in ((0, Taken.CYCLES_0), (1, Taken.CYCLES_1)):
        p.do("ZERO", op=Op.TAKE, how=taken)
        p.do("LOAD", RESULT, into=f"cycles.{half}")


def next_layer(p: Program, *, back: bool = False):
    """`layer_at` one descriptor on, or back."""
    p.load(p.constant(-LAYER_ROW if back else LAYER_ROW))
    p.do("ADD", "layer_at", into="layer_at")
