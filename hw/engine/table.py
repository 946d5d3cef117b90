"""Layer descriptors inside the engines: each machine keeps the fields that it needs, indexed by layer."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from ..contract.chip import ChipConfig
from ..contract.program import LAYER_FIELDS, offsets, words_of

STEP_BITS = 12
LAYER_BITS = 8
_WORD_BITS = 6


def address_bits(rows: int) -> int:
    """Bits of an address of a memory with so many rows; a memory has two rows at least."""
    return ceil_log2(max(rows, 2))


class Widths:
    """Bits of addresses and counts in a core, no more than its memories need.

    The driver lets nothing onto a chip that does not fit its memories, so no value is ever cut.
    """

    def __init__(self, config: ChipConfig):
        self._nodes = config.nodes
        self.layer = max(address_bits(config.layers), 1)
        self.synapse = address_bits(config.synapses)
        self.spike = address_bits(config.spike_rows)
        self.mask = address_bits(config.mask_rows)
        self.membrane = address_bits(config.membrane_rows)
        self.error = address_bits(config.error_rows)
        self.history = address_bits(config.history_words)
        self.active = address_bits(config.active_words)
        self.parameter = address_bits(config.parameters)
        self.state = address_bits(config.neurons)
        self.event = ceil_log2(max(config.events, 2))  # index into an event list
        self.neuron = bits_for(max(config.events, 2))  # number of inputs, or of outputs, of a layer
        self.group = bits_for(-(-max(config.events, 2) // config.lanes))
        self.row_step = min(bits_for(config.events + config.lanes), self.synapse + 1)
        self.step = min(STEP_BITS, bits_for(config.spike_rows))
        self.remote = address_bits(config.remote_rows)
        self.route = address_bits(config.routes)
        self.batch_step = min(20, bits_for(config.error_rows)) if config.training else 1

    def of(self, field: str) -> int:
        """Bits of a field of a descriptor; those of one or few bits stay as they are."""
        return {
            "inputs": self.neuron, "outputs": self.neuron, "next_outputs": self.neuron,
            "input_groups": self.group, "groups": self.group, "next_groups": self.group,
            "weights": self.synapse, "remainders": self.synapse, "momenta": self.synapse,
            "next_weights": self.synapse, "row_step": self.row_step, "next_row_step": self.row_step,
            "parameters": self.parameter, "state": self.state, "spikes_in": self.spike, "spikes_out": self.spike,
            "masks": self.mask, "membranes": self.membrane, "errors": self.error,
            "next_errors": self.remote if self._nodes > 1 else self.error, "error_address": self.remote,
            "spike_address": self.spike, "spike_targets": self._nodes, "error_targets": self._nodes,
            "routes": self.route, "mirror_step": self.row_step,
            "history": self.history, "active": self.active,
        }.get(field, 64)


def layer_view(config: ChipConfig, *names: str) -> data.StructLayout:
    """The named fields of a descriptor, each as wide as this chip needs."""
    widths = Widths(config)
    table = {name: (min(bits, widths.of(name)), is_signed) for name, bits, is_signed in LAYER_FIELDS}
    return data.StructLayout({
        name: signed(table[name][0]) if table[name][1] else unsigned(table[name][0]) for name in names})


class LayerPort(wiring.Signature):
    """A machine's view of its layer: `fields` belong to last cycle's `index`."""

    def __init__(self, view: data.StructLayout):
        super().__init__({"index": Out(LAYER_BITS), "fields": In(view)})


class LayerWrite(wiring.Signature):
    """A word of a descriptor on its way to every table."""

    def __init__(self):
        super().__init__({"enable": Out(1), "layer": Out(LAYER_BITS), "word": Out(_WORD_BITS), "data": Out(16)})


class LayerTable(wiring.Component):
    """Some fields of every layer's descriptor, in a small memory of their own; a read takes one cycle.

    Copies of the few fields that a machine needs are smaller than carrying whole descriptors along with
    the items, and each machine may be at another layer. Of two layers they are in registers: one LUT per bit
    chooses, where memory made from LUTs takes six for each four bits, and as many for a single one.

    Members
    -------
    w : the host's words, one per cycle
    r : the machine's view
    """

    def __init__(self, config: ChipConfig, *names: str):
        self._layers = max(config.layers, 2)
        self._names, self.view = names, layer_view(config, *names)
        super().__init__({"w": In(LayerWrite()), "r": In(LayerPort(self.view))})

    def elaborate(self, platform):
        m = Module()
        at = offsets(LAYER_FIELDS)
        parts = []
        for name in self._names:
            width = self.view[name].width
            for k in range(words_of(width)):
                if self._layers == 2:
                    parts.append(self._registers(m, f"{name}_{k}", min(16, width - 16 * k), at[name] + k))
                    continue
                memory = Memory(shape=unsigned(min(16, width - 16 * k)), depth=self._layers, init=[])
                m.submodules[f"{name}_{k}"] = memory
                writer, reader = memory.write_port(), memory.read_port()
                m.d.comb += [
                    writer.addr.eq(self.w.layer), writer.data.eq(self.w.data),
                    writer.en.eq(self.w.enable & (self.w.word == at[name] + k)), reader.addr.eq(self.r.index),
                ]
                parts.append(reader.data)
        m.d.comb += self.r.fields.eq(Cat(parts))
        return m

    def _registers(self, m: Module, name: str, width: int, word: int):
        """A word, or part of one, of two layers."""
        kept = [Signal(width, name=f"{name}_of_{layer}", reset_less=True) for layer in range(2)]
        for layer, register in enumerate(kept):
            with m.If(self.w.enable & (self.w.word == word) & (self.w.layer[0] == layer)):
                m.d.sync += register.eq(self.w.data)
        chosen = Signal(width, name=name, reset_less=True)
        m.d.sync += chosen.eq(Mux(self.r.index[0], kept[1], kept[0]))
        return chosen


def attach(m: Module, engine, machine, name: str):
    """Gives `machine` a table of its `fields`, which the host writes through `engine.layers`."""
    table = LayerTable(engine.config, *machine.fields)
    m.submodules[f"{name}_layers"] = table
    wiring.connect(m, machine.layer, table.r)
    m.d.comb += [getattr(table.w, port).eq(getattr(engine.layers, port))
                 for port in ("enable", "layer", "word", "data")]
