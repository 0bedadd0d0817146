"""The progress of an epoch on a terminal: batches, images per second, time left."""

from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class EpochBar:
    """One bar at a time; silent when not `shown`."""

    def __init__(self, shown: bool) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        info = TextColumn("{task.fields[info]}")
        self.progress = Progress(*columns, info, TimeRemainingColumn(), transient=True, disable=not shown)
        self.shown = shown
        self.task = TaskID(0)

    def __enter__(self) -> "EpochBar":
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def begin(self, what: str, batches: int) -> None:
        """Show the bar of an epoch."""
        self.task = self.progress.add_task(what, total=batches, info="")

    def advance(self, info: str) -> None:
        """Another batch is done."""
        self.progress.update(self.task, advance=1, info=info)

    def end(self, line: str) -> None:
        """The epoch's line in place of its bar."""
        self.progress.remove_task(self.task)
        if self.shown:
            self.progress.console.print(line, soft_wrap=True)
