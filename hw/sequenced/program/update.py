"""Update: synapse by synapse, the exact gradient of the batch from its histories, straight into the optimiser."""

from ...contract.program import Space
from ..instructions import MEMORY, MINUS, RESULT, Op, Program, Taken, When
from ..places import ONE, Places
from .layer import count_dense, first_layer, next_layer, phase_ends, phase_starts, product, rounded

_REMAINDER = 0x1400     # binary16 2^-10
_UNDONE = 0x6400        # 2^10


def clear(p: Program, where: Places):
    """Both histories, which lie side by side, to 0."""
    first = where.base[Space.HISTORY]
    assert first + where.size[Space.HISTORY] == where.base[Space.ACTIVE]
    p.load(p.constant(first - 1))
    p.store("row_at")
    p.load(p.constant(where.size[Space.HISTORY] + where.size[Space.ACTIVE]))
    p.store("left")
    p.do("ZERO", keep=True)
    p.label("clear word")
    p.do("INC", "row_at", into="row_at", write=True)
    p.do("DEC", "left", into="left", when=When.NONZERO, to="clear word")


def update(p: Program, where: Places):
    """W, R and M of every synapse (design rules version 1)."""
    phase_starts(p, "gradient")
    p.load(p.constant(-1))
    p.do("LOAD", p.constant(where.ones), write=True)
    history_words(p)
    first_layer(p, where)

    p.label("update layer")
    p.call("fetch layer")
    p.load(p.constant(-1))
    p.do("ADD", "active", into="active")
    p.do("ADD", "history", into="history")
    p.label("update output")
    for pointer, field in (("weight_at", "weights"), ("remainder_at", "remainders"), ("momentum_at", "momenta"),
                           ("history_at", "history"), ("left", "inputs"), ("unbiased", "bias")):
        p.load(field)
        p.store(pointer)
    p.load(p.constant(1))
    p.store("word_step")

    p.label("update synapse")
    synapse_gradient(p)
    synapse_step(p)
    synapse_moves(p)
    p.load("history_step")
    p.do("ADD", "history_at", into="history_at")
    for pointer in ("weight_at", "remainder_at", "momentum_at"):
        p.do("INC", pointer, into=pointer)
    p.do("DEC", "left", into="left", when=When.NONZERO, to="update synapse")
    # The bias is one more input, whose history is the same word of ones over and over.
    p.do("LOAD", "unbiased", when=When.ZERO, to="update row")
    p.do("ZERO", keep=True)
    p.store("unbiased")
    p.store("word_step")
    p.load(p.constant(where.ones))
    p.store("history_at")
    p.load(p.constant(1))
    p.store("left")
    p.jump("update synapse")

    p.label("update row")
    p.load("row_step")
    for field in ("weights", "remainders", "momenta"):
        p.do("ADD", field, into=field)
    p.load("batch_steps")
    p.do("ADD", "errors", into="errors")
    p.load("history_step")
    p.do("ADD", "active", into="active")
    p.do("DEC", "outputs", into="outputs", when=When.NONZERO, to="update output")
    next_layer(p)
    p.do("DEC", "layers_left", into="layers_left", when=When.NONZERO, to="update layer")
    phase_ends(p, "gradient")


def history_words(p: Program):
    """16-bit words of a history: those that this batch uses, and from one history to the next."""
    p.load("used_words")
    p.do("ADD", "used_words", keep=True)
    p.store("words")
    p.load(p.constant(2))
    p.store("history_step")
    p.load("history_log")
    p.store("rest")
    p.label("update step")
    p.do("LOAD", "rest", when=When.ZERO, to="update stepped")
    p.do("DEC", "rest", into="rest")
    p.load("history_step")
    p.do("ADD", "history_step", into="history_step")
    p.jump("update step")
    p.label("update stepped")


def synapse_gradient(p: Program):
    """X, g <- rnd(sum of the errors where the input spiked): a visit for every bit of history AND active."""
    p.do("ZERO", op=Op.FORGET)
    p.do("LOAD", p.constant(ONE), op=Op.FACTOR)
    for pointer, field in (("input_at", "history_at"), ("active_at", "active"), ("error_at", "errors"),
                           ("words_left", "words")):
        p.load(field)
        p.store(pointer)
    p.label("update word")
    p.load("word_step")
    p.do("ADD", "input_at", into="input_at", read=True)
    p.do("INC", "active_at", into="active_at", read=True)
    p.load(MEMORY)
    p.do("AND", MEMORY, op=Op.HITS)
    p.do("LOAD", "error_at", op=Op.HIT)
    p.load(p.constant(16))
    p.do("ADD", "error_at", into="error_at")
    p.do("DEC", "words_left", into="words_left", when=When.NONZERO, to="update word")
    count_dense(p, "gradient", "used_steps")
    p.do("ZERO", op=Op.TAKE, how=Taken.VISITS)
    p.load(RESULT, into="g", when=When.ZERO, to="update rounded")
    p.do("ADD", "gradient.busy.0", into="gradient.busy.0")
    p.do("CARRY", "gradient.busy.1", into="gradient.busy.1")
    rounded(p, "g")
    p.label("update rounded")


def synapse_step(p: Program):
    """M' = rnd(mul(momentum, M) + mul(inverse_batch, G, gradient_log)), p = mul(rate, M', step_log)."""
    p.do("ZERO", keep=True)
    p.do("LOAD", "use_momentum", when=When.ZERO, to="update kept")
    p.do("LOAD", "momentum_at", read=True)
    p.load(MEMORY, when=When.ZERO, to="update kept")
    p.store("kept")
    product(p, "momentum", "kept")
    rounded(p)
    p.label("update kept")
    p.store("kept")
    p.load("g", when=When.ZERO, to="update fresh")
    product(p, "inverse_batch", "g", power="gradient_log")
    rounded(p, "g")
    product(p, "g", p.constant(ONE))
    p.do("LOAD", "kept", op=Op.MULTIPLY)
    rounded(p, "kept")
    p.label("update fresh")
    # Without a fresh part what is kept is the whole, rounded already; X holds 0 or it.
    p.load("kept")
    p.do("LOAD", "use_momentum", when=When.ZERO, to="update unkept")
    p.do("LOAD", "momentum_at", write=True)
    p.label("update unkept")
    p.store("step")
    p.do("PASS", when=When.ZERO, to="update stepped on")
    product(p, "rate", "step", power="step_log")
    rounded(p, "step")
    p.label("update stepped on")


def synapse_moves(p: Program):
    """x = W + 2^-10·(R - p), W' = rnd(x), R' = rnd(2^10·(x - W')); nothing moves where R and p are 0."""
    one = p.constant(ONE)
    p.do("LOAD", "weight_at", read=True)
    p.do("LOAD", "remainder_at", read=True)
    p.do("LOAD", MEMORY, into="weight")
    p.load(MEMORY, into="remainder", when=When.NONZERO, to="update moves")
    p.do("LOAD", "step", when=When.ZERO, to="update moved")
    p.label("update moves")
    product(p, "weight", one)
    p.do("LOAD", p.constant(_REMAINDER), op=Op.FACTOR)
    p.do("LOAD", "remainder", op=Op.MULTIPLY)
    p.do("LOAD", "step", op=Op.MULTIPLY, how=MINUS)
    rounded(p, "moved")
    p.do("LOAD", "weight_at", write=True)
    product(p, "weight", p.constant(_UNDONE))
    p.do("LOAD", "moved", op=Op.MULTIPLY, how=MINUS)
    p.do("LOAD", one, op=Op.FACTOR)
    p.do("LOAD", "remainder", op=Op.MULTIPLY)
    p.do("LOAD", "step", op=Op.MULTIPLY, how=MINUS)
    rounded(p)
    p.do("LOAD", "remainder_at", write=True)
    p.label("update moved")
