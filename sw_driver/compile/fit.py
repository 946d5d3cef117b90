"""The smallest sensible chip for a network."""

from dataclasses import dataclass

from ...hw.contract.chip import ChipConfig
from ...hw.contract.geometry import geometry
from ..errors import SpecError
from ..network import Network, TrainingSpec
from .layout import lay_out
from .work import ERRORS, MASKED, SPIKES

GRADIENTS = ("auto", "batch", "running")
BLOCK_RAM_BITS = 208 * 18432  # of an ECP5-85F, the largest part that the open tools' boards have


@dataclass(frozen=True, kw_only=True)
class GradientChoice:
    """How a chip forms its weight gradient, and why."""

    running: bool
    reason: str


def memory_bits(config: ChipConfig) -> int:
    """Bits of all memories that the host sees, and of the wide sums."""
    bits = sum(width * rows for width, rows in geometry(config).values())
    return bits + config.wide_rows * config.lanes * config.sum_bits


def _estimated_cycles(network: Network, training: TrainingSpec, *, lanes: int, units: int) -> tuple[float, float]:
    """Cycles per sample with the gradient at the batch's end and running, for the densities assumed above."""
    forward = backward = gradient = update = 0.0
    for index, layer in enumerate(network.layers):
        groups, inputs = -(-layer.outputs // lanes), layer.inputs + layer.bias
        forward += groups * (layer.inputs * SPIKES + layer.bias)
        gradient += groups * (layer.inputs * SPIKES + layer.bias) * min(1.0, ERRORS * lanes)
        update += groups * inputs * max(9, lanes // units + 2) / training.batch / network.steps
        if index + 1 < len(network.layers):
            backward += groups * MASKED * network.layers[index + 1].outputs * ERRORS
    front = max(forward, backward)
    return (network.steps * (front + max(gradient, update)),
            network.steps * (max(front, gradient) + update))


def choose_gradient(network: Network, training: TrainingSpec | None, *, batch: ChipConfig, running: ChipConfig | None,
                    block_ram_bits: int = BLOCK_RAM_BITS) -> GradientChoice:
    """The faster of the two chips by an estimate, if it has the memory."""
    if training is None:
        return GradientChoice(running=False, reason="none: the chip is built for inference")
    if running is None:
        return GradientChoice(running=False, reason="at the batch's end: engines that share their lanes cannot overlap")
    bits = memory_bits(running)
    if bits > block_ram_bits:
        return GradientChoice(running=False, reason=(
            f"at the batch's end: running sums would make it {bits / 1e6:.1f} Mbit of memory, "
            f"{block_ram_bits / 1e6:.1f} Mbit are set as the most"))
    at_end, beside = _estimated_cycles(network, training, lanes=batch.lanes, units=batch.units)
    if beside >= at_end:
        return GradientChoice(running=False, reason=(
            "at the batch's end: running sums are estimated not to be faster, "
            f"{beside:,.0f} cycles per sample against {at_end:,.0f}"))
    return GradientChoice(running=True, reason=(
        f"running beside forward and backward: {bits / 1e6:.1f} Mbit of memory against {memory_bits(batch) / 1e6:.1f}, "
        f"an estimated {beside:,.0f} cycles per sample against {at_end:,.0f}"))


def sum_widths(base: ChipConfig, network: Network, training: TrainingSpec | None) -> dict[str, int]:
    """Bits of the exact accumulators that hold every sum of a network for certain, and not fewer than `base` has."""
    terms = max(network.steps * (training.batch if training else 1),
                *(max(layer.inputs + layer.bias + 1, layer.outputs) for layer in network.layers))
    extra = max(terms.bit_length() - 11, 0)
    return {"sum_bits": base.sum_bits + extra, "product_bits": base.product_bits + extra}


def fit_chip(network: Network, training: TrainingSpec | None, *, lanes: int = 8, units: int | None = None,
             shared: bool = False, slots: int | None = None, gradient: str = "auto",
             **depths: int) -> tuple[ChipConfig, GradientChoice]:
    """A chip with just enough memory, depths rounded up to powers of two so that similar networks share a chip.

    Two samples at once, unless the engines share their lanes and so could not work on both.

    Parameters
    ----------
    gradient : "batch" (at the batch's end, from kept traces), "running" (exact sums per weight beside the other
        engines) or "auto", which estimates both
    depths : fields of ChipConfig, fixed

    Raises
    ------
    ValueError
        If a field is out of range.
    SpecError
        If `gradient` is none of these.
    """
    if gradient not in GRADIENTS:
        raise SpecError(f"gradient must be {', '.join(GRADIENTS)}, not {gradient!r}")
    units = min(2, lanes) if units is None else units
    slots = (1 if shared else 2) if slots is None else slots
    base = ChipConfig(lanes=lanes, units=units, shared=shared, slots=slots, training=training is not None)
    sums = sum_widths(base, network, training)

    def fitted(running: bool) -> ChipConfig:
        needs = lay_out(network, training, lanes=lanes, units=units, running=running).needs
        rounded = {name: 1 << max(rows - 1, 1).bit_length() if rows else 0 for name, rows in needs.items()}
        return base.replace(**(rounded | sums | depths))

    possible = training is not None and not shared
    if gradient == "running" and not possible:
        raise SpecError("gradient running needs a chip that trains, with engines side by side; use gradient=batch")
    if "wide_rows" in depths and gradient != "auto" and (gradient == "running") != bool(depths["wide_rows"]):
        raise SpecError(f"gradient={gradient} and wide_rows={depths['wide_rows']} contradict each other; leave one out")
    batch = fitted(False)
    if gradient == "running" or depths.get("wide_rows"):
        return fitted(True), GradientChoice(running=True, reason="running, as asked")
    if gradient == "batch" or "wide_rows" in depths:
        return batch, GradientChoice(running=False, reason="at the batch's end, as asked")
    running = fitted(True) if possible else None
    choice = choose_gradient(network, training, batch=batch, running=running)
    return (running if choice.running and running is not None else batch), choice


def fit_config(network: Network, training: TrainingSpec | None, **options) -> ChipConfig:
    """The chip of `fit_chip`."""
    return fit_chip(network, training, **options)[0]
