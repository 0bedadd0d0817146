import json
import sys
from pathlib import Path

import pytest

from overtone.benchmarks.faults import command
from overtone.benchmarks.faults.command import Outcome
from overtone.benchmarks.faults.honest import Times
from overtone.benchmarks.figure import Figure


def times(*milliseconds: float, failed: int = 0) -> Times:
    return Times({"grpc": list(milliseconds), "rest": list(milliseconds)}, failed)


def test_figures_say_which_bound_is_not_kept() -> None:
    slow = Outcome("resets", times(10, 10), times(10, 40, failed=2), 7, 300, False, {})
    bad = {figure.name for figure in slow.figures() if not figure.good}
    assert bad == {
        "resets.grpc.p99_ratio",
        "resets.rest.p99_ratio",
        "resets.honest_failed",
        "resets.memory_growth",
        "resets.died",
    }
    quick = Outcome("resets", times(10, 10), times(10, 20), 7, 1, True, {})
    assert all(figure.good for figure in quick.figures())


def test_nothing_answered_keeps_no_bound() -> None:
    assert not Figure("bodies.grpc.p99_ratio", times().percentile("grpc", 99), "times", 3).good


def test_no_such_attack() -> None:
    with pytest.raises(ValueError, match="no attack 'kindness'; there are pictures"):
        command.run("photographs", ["kindness"], 1, False)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="the attacker has an address of its own")
def test_an_attack_on_a_real_server(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "RAMP", 1.0)
    command.run(str(tiny_checkpoint), ["bodies"], 1, True)
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["bodies.died"] == {"name": "bodies.died", "value": 0.0, "unit": "servers", "bound": 0}
    assert found["bodies.honest_failed"]["value"] == 0
