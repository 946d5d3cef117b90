"""What a worker keeps between rounds: remainders, momenta, what compression held back, the weights it was last sent.

With a folder it survives a restart of the worker's processes; without one it lives as long as Flower's context.
"""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

from ..files import write_whole

_NAME = "autapse-kept"


class Kept:
    """Named float16 vectors after a round.

    Parameters
    ----------
    context
        Flower's context of the run, whose `state` is kept by the node.
    folder
        Where files go, or None.
    owner
        Of which federation and worker: the name that its files begin with.

    Members
    -------
    round : int
        The round after which the vectors were put, 0 if there are none.
    vectors : dict[str, np.ndarray]
    """

    def __init__(self, context, folder: str | Path | None, owner: str):
        self._context, self._folder, self._owner = context, None if not folder else Path(folder), owner
        self.round, self.vectors = 0, {}

    def _path(self, round_: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{self._owner}-round-{round_}.safetensors"

    def load(self, before: int) -> "Kept":
        """The newest vectors of a round before `before`: a round that the hub starts again starts from the same."""
        if self._folder is None:
            if _NAME in self._context.state.array_records:
                stored = int(self._context.state.config_records[_NAME + "-about"]["round"])
                if stored < before:
                    self.round = stored
                    self.vectors = {name: array.numpy() for name, array
                                    in self._context.state.array_records[_NAME].items()}
            return self
        for round_ in sorted(self._rounds(), reverse=True):
            if round_ < before:
                try:
                    self.vectors, self.round = safetensors_numpy.load(self._path(round_).read_bytes()), round_
                    break
                except (OSError, SafetensorError):
                    continue
        return self

    def _rounds(self) -> list[int]:
        assert self._folder is not None
        return [int(path.stem.rpartition("-")[2]) for path
                in self._folder.glob(f"{self._owner}-round-*.safetensors")]

    def put(self, round_: int, vectors: dict[str, np.ndarray]) -> None:
        """Keeps `vectors` as those after `round_`; on disk with those of the round before, older ones go.

        Newer ones stay: what writes late may be a process that everyone else has given up.
        """
        if self._folder is None:
            from flwr.app import Array, ArrayRecord, ConfigRecord
            self._context.state[_NAME] = ArrayRecord({name: Array(vector) for name, vector in vectors.items()})
            self._context.state[_NAME + "-about"] = ConfigRecord({"round": round_})
            return
        blob = safetensors_numpy.save(vectors)
        write_whole(self._path(round_), lambda file: file.write(blob))
        for old in self._rounds():
            if old < round_ - 1:
                self._path(old).unlink(missing_ok=True)
