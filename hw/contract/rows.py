"""Rows between the cores of a mesh, as plain data that gateware and driver both derive from.

A layer is cut along its output neurons, at multiples of the lanes; the cores that hold a cut of it are its owners.
Every core has all layers of the network in its program, those without a cut there as absent (register `present`), so
that all cores take items in one order and none can wait in a circle.

    SPIKES    an owner sends each row of spikes of its cut, once its neurons are finished, to all cores that hold a cut
              of the next layer (`spike_targets`): row (group g of the cut, step) to address `spike_address` + g * steps
              + step of SPIKES, in the slot at work forward. There the next layer's `spikes_in` has all input rows.
    ERRORS    an owner sends each row of errors of its cut to all cores that hold a cut of the layer before
              (`error_targets`): row (g, step) to `error_address` + g * steps + step of REMOTE, where their layers'
              `next_errors` has the rows of all groups of the next layer, of one sample.
    WEIGHTS   a core that holds neurons of layer l needs, backward, their synapses to layer l + 1, all columns of a few
              inputs: its mirror, at `next_weights`. In an update an owner of layer l + 1 sends each new row of weights,
              lanes and banks as they are, to the core that holds the row's input: to address `base` of the route of the
              input's group, plus g * `mirror_step`, plus input mod lanes. The route is word `routes` + input // lanes
              of ROUTES. Biases have no mirror; nor have remainders and momenta.

An item (layer, step) starts forward when `input_groups` rows of spikes for it have come, except in the layer next to
the input, whose rows the host writes; and backward when `next_groups` rows of errors have come, except in the last
layer. An update ends when `mirror_rows` rows of weights have come. A core's own rows go through the mesh like all
others.

A packet is a header of the mesh with `user` = kind | layer << 2, a flit `address | step << 24`, and the row in
flits of FLIT_BITS, low bits first. `layer` is the one whose items count the row: the receiver's. `step` is taken
modulo `step_slots`. Rows of weights are not counted by layer and step, which are 0 there.
"""

from enum import IntEnum

FLIT_BITS = 32
ADDRESS_BITS = 24
STEP_BITS = 8
KIND_BITS = 2
LAYER_BITS = 4


class Kind(IntEnum):
    """What a row is, and so which memory it goes to."""

    SPIKES = 0
    ERRORS = 1
    WEIGHTS = 2


def packet_flits(row_bits: int) -> int:
    """Flits of a packet with a row of so many bits."""
    return 2 + -(-row_bits // FLIT_BITS)


def route_word(*, base: int, core: int) -> int:
    """Word of ROUTES, 32 bits: where the mirrored rows of a group of inputs start, and at which core."""
    return base | core << ADDRESS_BITS
