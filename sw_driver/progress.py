"""Progress on standard error, so that standard output stays the program's own; a bar only on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from .trainer import Callback


class Quietly(Bar):
    """A bar that leaves nothing behind, and shows nothing where there is no terminal."""

    def __init__(self, *columns, console: Console | None = None):
        super().__init__(*columns, console=console or Console(stderr=True), transient=True)

    def start(self):
        if self.console.is_terminal:
            super().start()

    def stop(self):
        if self.live.is_started:
            super().stop()


class Progress(Callback):
    """Shows a fit: a bar with the time left, and one line per epoch."""

    def __init__(self, console: Console | None = None):
        self._bar = Quietly(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("batches"),
                        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
                        TextColumn("{task.fields[score]}"), console=console)

    def on_start(self, trainer, *, epochs, batches):
        self._last = trainer.epoch + epochs
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
        self._bar.stop()


class Building:
    """A bar for work that reports a sentence and the fraction done; it goes when the fraction is 1 or on `stop`."""

    def __init__(self):
        self._bar = None

    def __call__(self, sentence: str, fraction: float) -> None:
        if self._bar is None:
            self._bar = Quietly(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            self._task = self._bar.add_task(sentence, total=1.0)
            self._bar.start()
        self._bar.update(self._task, description=sentence, completed=fraction)
        if fraction >= 1:
            self.stop()

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for work that counts itself; call what it yields with how many are done and how many there are."""
    bar = Quietly(TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn())
    task = bar.add_task(what, total=None)

    def advance(done: int, whole: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=whole)

    try:
        yield advance
    finally:
        bar.stop()
