"""A progress bar with time left, and one line per epoch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from .trainer import Callback


class Progress(Callback):
    """Shows a fit on standard error, so that standard output stays the program's own."""

    def __init__(self, console: Console | None = None):
        self._console = console or Console(stderr=True)
        self._bar = None

    def on_start(self, trainer, *, epochs, batches):
        self._last = trainer.epoch + epochs
        self._bar = Bar(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("batches"),
                        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=False),
                        TextColumn("{task.fields[score]}"), console=self._console, transient=True)
        self._task = self._bar.add_task(f"epoch {trainer.epoch + 1}/{self._last}", total=epochs * batches, score="")
        self._samples = self._correct = 0
        self._bar.start()

    def on_batch(self, trainer, step):
        self._samples += len(step.labels)
        self._correct += int((step.result.readouts.argmax(axis=1) == step.labels).sum())
        self._bar.update(self._task, advance=1, score=f"{100 * self._correct / self._samples:.1f} %")

    def on_epoch(self, trainer, entry):
        test = entry["test_accuracy"]
        line = (f"epoch {entry['epoch']}/{self._last}  loss {entry['loss']:.4f}  "
                f"train {100 * entry['accuracy']:.2f} %"
                + (f"  test {100 * test:.2f} %" if test is not None else "")
                + f"  {entry['samples_per_second']:.0f} samples/s")
        self._bar.console.print(line, highlight=False)
        self._samples = self._correct = 0
        self._bar.update(self._task, description=f"epoch {min(entry['epoch'] + 1, self._last)}/{self._last}")

    def on_end(self, trainer):
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for work that counts itself; call what it yields with how many are done and how many there are."""
    with Bar(TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn(),
             console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)
