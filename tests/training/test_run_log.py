from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from overtone.training.run_log import Epoch, RunLog, read_epochs


def line(step: int, epoch: int, held_out: float | None = None) -> Epoch:
    return Epoch(step, epoch, 64, 0.1, 1.0 / (1 + epoch), 0.5, held_out, 100.0, 2.0)


def written(folder: Path, *lines: Epoch, after: tuple[int, int] = (0, 0)) -> list[Epoch]:
    with RunLog(folder, Epoch, *after) as log:
        for each in lines:
            log.add(each)
    return list(read_epochs(folder / "log.jsonl"))


def test_what_was_logged_but_not_saved_is_dropped(tmp_path: Path) -> None:
    lines = [line(0, 0), line(0, 1), line(1, 0)]
    assert written(tmp_path, *lines) == lines
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 1, "epo')
    assert written(tmp_path, line(0, 1, 0.5), after=(0, 1)) == [line(0, 0), line(0, 1, 0.5)]


def test_a_line_for_people() -> None:
    assert "calibration 25.0%" in str(line(0, 1, 0.25))
    assert "calibration" not in str(line(0, 1))


def test_tensorboard_shows_the_same(tmp_path: Path) -> None:
    written(tmp_path, line(0, 0), line(0, 1, 0.25), line(0, 2))
    board = EventAccumulator(str(tmp_path))
    board.Reload()
    assert [e.step for e in board.Scalars("loss")] == [0, 1, 2]
    assert [(e.step, e.value) for e in board.Scalars("top1/calibration")] == [(1, 0.25)]
