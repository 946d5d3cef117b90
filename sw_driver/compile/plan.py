"""Which core of a mesh holds which neurons."""

from dataclasses import dataclass, field


@dataclass(frozen=True, order=True, kw_only=True)
class Cut:
    """Output neurons [first, last) of a layer at one core; `first` is a multiple of the lanes."""

    layer: int
    first: int
    last: int
    core: int

    @property
    def outputs(self) -> int:
        """Neurons of the cut."""
        return self.last - self.first


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Cuts of all layers over the cores of a mesh, in order of layer and neuron; a core has at most one of a layer."""

    mesh_width: int
    mesh_height: int
    cuts: tuple[Cut, ...] = field(default_factory=tuple)

    @property
    def nodes(self) -> int:
        """Cores of the mesh; core n is at column n mod width, row n // width."""
        return self.mesh_width * self.mesh_height

    def of_layer(self, layer: int) -> tuple[Cut, ...]:
        """The cuts of a layer, in order of its neurons."""
        return tuple(cut for cut in self.cuts if cut.layer == layer)

    def of_core(self, core: int) -> dict[int, Cut]:
        """The cuts at a core, by layer."""
        return {cut.layer: cut for cut in self.cuts if cut.core == core}
