import os
import sys
from contextlib import AbstractAsyncContextManager

import pytest

from overtone.benchmarks.child import Child, ChildError

LATER = 60.0


def child(program: str, grace: float = LATER) -> AbstractAsyncContextManager[Child]:
    return Child.running("the child", sys.executable, "-c", program, grace=grace)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_lines_go_in_and_come_out() -> None:
    async with child("import sys\nfor line in sys.stdin: print(line.upper(), end='')") as one:
        for word in ("low", "high"):
            await one.tell(word)
            assert await one.line(LATER) == word.upper()


async def test_one_that_ends_is_reported_with_its_errors() -> None:
    async with child("import sys; print('no such model', file=sys.stderr); sys.exit(3)") as one:
        with pytest.raises(ChildError, match=r"the child ended with exit code 3(.|\n)*no such model"):
            await one.line(LATER)
        await one.tell("are you there?")


async def test_one_that_writes_nothing_is_given_up() -> None:
    async with child("print('ready', flush=True); input()") as one:
        await one.line(LATER)
        with pytest.raises(ChildError, match=r"wrote nothing for 0.1 s"):
            await one.line(0.1)


async def test_no_process_is_left_behind() -> None:
    pids = []

    async def fail() -> None:
        async with child("print('ready'); input()") as one:
            await one.line(LATER)
            pids.append(one.pid)
            raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        await fail()
    assert not alive(pids[0])


@pytest.mark.parametrize(
    ("program", "grace"),
    [
        ("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready')\nsignal.pause()", 0.1),
        ("while True: print('and another thing ' * 1000)", LATER),
    ],
    ids=["ignores SIGTERM", "fills its pipe"],
)
async def test_a_stubborn_one_is_stopped(program: str, grace: float) -> None:
    async with child(program, grace) as one:
        await one.line(LATER)
    assert not alive(one.pid)


async def test_variables_can_be_set_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "1")
    program = "import os; print(os.environ.get('OURS'), os.environ.get('THEIRS'))"
    changes = {"OURS": None, "THEIRS": "2"}
    async with Child.running("the child", sys.executable, "-c", program, environment=changes) as one:
        assert await one.line(LATER) == "None 2"
