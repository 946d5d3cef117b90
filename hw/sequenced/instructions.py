"""Words of the microprogram, and the assembler that makes them."""

from amaranth.lib import data, enum

from .places import FREE, IDENTITY_BLOCK, SCRATCH, counter_names, register_names

PC_BITS = 10


class Source(enum.Enum, shape=2):
    """What the operand D of an instruction is."""

    SCRATCH = 0
    MEMORY = 1      # the word that the last but one instruction read, or one before it if none has since
    LIST = 2        # the address offset of the event under the list's pointer
    RESULT = 3      # what ROUND, FLOOR or TAKE left


class Function(enum.Enum, shape=2):
    """How A and D make the result R."""

    ADD = 0
    AND = 1
    HALF = 2        # D shifted right by one


class Carry(enum.Enum, shape=2):
    """The adder's carry in."""

    ZERO = 0
    ONE = 1
    KEPT = 2        # of the last sum of X and D


class When(enum.Enum, shape=4):
    """When an instruction branches."""

    NEVER = 0
    ALWAYS = 1
    ZERO = 2            # R = 0
    NONZERO = 3
    NEGATIVE = 4        # bit 15 of R
    POSITIVE = 5        # not NEGATIVE
    BELOW = 6           # the exact sum is negative
    END = 7             # the list's pointer is at its end
    COUNTED = 8         # the host has not cleared the counters
    EXACT = 9           # no rounding of this run has saturated
    NO_CLEAR = 10       # bits that the run's mask lacks
    NO_FORWARD = 11
    NO_LOSS = 12
    NO_BACKWARD = 13
    NO_UPDATE = 14


class Op(enum.Enum, shape=5):
    """What an instruction does besides its sum. Those marked * hold the program until they are done."""

    NONE = 0
    FACTOR = 1          # Y <- D
    POWER = 2           # K <- D
    MULTIPLY = 3        # exact sum += ±D·Y·2^K
    FORGET = 4          # * exact sum <- 0, visits <- 0
    ROUND = 5           # * RESULT <- rnd(exact sum); saturation is noted
    FLOOR = 6           # * RESULT <- the greatest magnitude of binary16 that is not above that of the exact sum
    TAKE = 7            # * RESULT <- what Taken names
    COUNT = 8           # N <- R
    STEP = 9            # offset step <- R; the list is empty
    SCAN = 10           # * N times: X <- X + D, what lies at X, if not 0, goes to the list
    VISIT = 11          # * exact sum += factor times what lies at X + offset, for every event of the list
    HITS = 12           # H <- R
    HIT = 13            # * exact sum += Y times what lies at D + k, for every set bit k of H
    FIRST = 14          # list's pointer to its start
    NEXT = 15           # and to the next event
    CALL = 16           # branches to the target; RETURN comes back
    RETURN = 17
    CLEARED = 18        # notes that the counters are zero
    STOP = 19           # the run is over
    GIVE = 20           # R to a register of the machine beside this one, whose number is in the target
    AWAIT = 21          # * until that machine rests


class Taken(enum.Enum, shape=3):
    """What TAKE takes, in the low bits of the target."""

    LIMB_0 = 0          # 16 bits of the exact sum from 2^-24 on, and those above them
    LIMB_1 = 1
    LIMB_2 = 2
    LIMB_3 = 3
    VISITS = 4          # of the lane since FORGET
    CYCLES_0 = 5        # low half of the cycles that the core was busy since the counters were cleared
    CYCLES_1 = 6        # the high half that belonged to the low half taken last
    BESIDE = 7          # what the machine beside this one says


# What MULTIPLY does, in the low bits of the target.
MINUS, RAW, MOVED = 1, 2, 4     # subtract; D is a signed integer of units 2^-24; 2^K counts

Instruction = data.StructLayout({
    "place": 8,         # in the scratch memory
    "target": PC_BITS,
    "when": When, "op": Op, "source": Source, "function": Function, "carry": Carry,
    "a": 1, "a_not": 1, "d": 1, "d_not": 1,     # operands of the sum; 0 (or -1 if inverted) where not asked for
    "x": 1, "store": 1,                         # R goes to X, to the scratch place
    "read": 1, "write": 1,                      # the memory at address R, X is what is written
})

# The sum's name: a, a_not, d, d_not, carry. FROM is D - X, CARRY is D and the carry that was kept, NEXT is X + 1.
_SUMS = {
    "LOAD": (0, 0, 1, 0, Carry.ZERO), "PASS": (1, 0, 0, 0, Carry.ZERO), "ZERO": (0, 0, 0, 0, Carry.ZERO),
    "ADD": (1, 0, 1, 0, Carry.ZERO), "SUB": (1, 0, 1, 1, Carry.ONE), "INC": (0, 0, 1, 0, Carry.ONE),
    "DEC": (0, 1, 1, 0, Carry.ZERO), "NEXT": (1, 0, 0, 0, Carry.ONE), "CARRY": (0, 0, 1, 0, Carry.KEPT),
    "FROM": (1, 1, 1, 0, Carry.ONE), "ADD KEPT": (1, 0, 1, 0, Carry.KEPT), "SUB KEPT": (1, 0, 1, 1, Carry.KEPT),
    "FROM KEPT": (1, 1, 1, 0, Carry.KEPT),
    "AND": (1, 0, 1, 0, Carry.ZERO), "HALF": (0, 0, 1, 0, Carry.ZERO),
}
MEMORY, LIST, RESULT = Source.MEMORY, Source.LIST, Source.RESULT


class Program:
    """Collects instructions, labels and variables; `words()` and `init()` are the two memories' contents.

    An instruction does not yet see what its neighbour before it stored or read, so a pause is put between where needed.
    Two reads may be neighbours: then the first one's word is what the next instruction sees, the second one's what
    the instruction after that sees. A branch that is taken costs two cycles more.
    """

    def __init__(self):
        self._code: list[dict] = []
        self._labels: dict[str, int] = {}
        self._places = dict(register_names()) | dict(counter_names())
        self._variables: dict[str, int] = {}
        self._init = [0] * SCRATCH

    def constant(self, value: int) -> str:
        """The name of a scratch place that holds a number."""
        name = f"#{value & 0xFFFF:04x}"
        if name not in self._variables:
            self._init[self._place(name)] = value & 0xFFFF
        return name

    def label(self, name: str):
        """Names the next instruction."""
        assert name not in self._labels, f"label {name} twice"
        self._labels[name] = len(self._code)

    def do(self, sum_name: str, operand=None, *, into: str | None = None, keep: bool = False, op: Op = Op.NONE,
           how=0, when: When = When.NEVER, to: str | None = None, read: bool = False, write: bool = False):
        """One instruction: R = `sum_name` of X and `operand`, a scratch name, MEMORY, LIST or RESULT.

        R goes to X if `keep`, and to the scratch place `into`, which must be the operand's if that is one.
        """
        assert not (isinstance(operand, str) and into not in (None, operand)), "one scratch place per instruction"
        assert not (to and how), "the target is taken"
        place = operand if isinstance(operand, str) else into
        reads = isinstance(operand, str)
        two_before, before = ([self._word()] * 2 + self._code)[-2:]
        stored = reads and before["store"] and before["place"] == self._place(place)
        if stored or (operand is Source.MEMORY and before["read"] and not two_before["read"]):
            self._code.append(self._word())
        a, a_not, d, d_not, carry = _SUMS[sum_name]
        self._code.append(self._word(
            place=self._place(place) if place else 0, target=to or getattr(how, "value", how), when=when, op=op,
            source=Source.SCRATCH if reads or operand is None else operand,
            function={"AND": Function.AND, "HALF": Function.HALF}.get(sum_name, Function.ADD),
            carry=carry, a=a, a_not=a_not, d=d, d_not=d_not,
            x=int(keep), store=int(into is not None), read=int(read), write=int(write)))

    def load(self, operand, *, into: str | None = None, **others):
        """X <- operand, and into a scratch place if given."""
        if into is not None and isinstance(operand, str):
            self.do("LOAD", operand, keep=True)
            self.do("PASS", into=into, **others)
        else:
            self.do("LOAD", operand, keep=True, into=into, **others)

    def store(self, name: str):
        """Scratch place <- X."""
        self.do("PASS", into=name)

    def jump(self, label: str, when: When = When.ALWAYS):
        self.do("ZERO", when=when, to=label)

    def call(self, label: str):
        self.do("ZERO", op=Op.CALL, when=When.ALWAYS, to=label)

    def _place(self, name: str) -> int:
        if name in self._places:
            return self._places[name]
        if name not in self._variables:
            assert len(self._variables) < len(FREE), "the scratch memory is full"
            self._variables[name] = FREE[len(self._variables)]
        return self._variables[name]

    @staticmethod
    def _word(**fields) -> dict:
        return {"place": 0, "target": 0, "when": When.NEVER, "op": Op.NONE, "source": Source.SCRATCH,
                "function": Function.ADD, "carry": Carry.ZERO,
                **dict.fromkeys(("a", "a_not", "d", "d_not", "x", "store", "read", "write"), 0)} | fields

    def words(self) -> list:
        """The microprogram."""
        assert len(self._code) <= 1 << PC_BITS, f"{len(self._code)} instructions are too many"
        return [Instruction.const({**word, "target": self._labels[word["target"]]
                                   if isinstance(word["target"], str) else word["target"]}) for word in self._code]

    def init(self, identity: list[int]) -> list[int]:
        """First contents of the scratch memory: constants and the chip's identity."""
        room = SCRATCH - IDENTITY_BLOCK
        assert len(identity) <= room, "the identity is longer than its block"
        return [*self._init[:IDENTITY_BLOCK], *identity, *[0] * (room - len(identity))]

    def place(self, name: str) -> int:
        """Where a name lies in the scratch memory."""
        return self._place(name)

    def variables(self) -> dict[str, int]:
        """Scratch places of variables and constants by name."""
        return dict(self._variables)
