import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterator

import pytest

from overtone.benchmarks.link import kernel
from overtone.benchmarks.link.kernel import Comparison, Crossing, lead, median, plan, table
from overtone.benchmarks.link.namespaces import NamespaceError, Namespaces, burst
from overtone.benchmarks.link.rate import MTU_PAYLOAD, Rate


def test_the_plan_covers_all_rates_with_times_worth_measuring() -> None:
    steps = list(plan())
    assert {rate for rate, _ in steps} == set(kernel.RATES)
    assert (kernel.RATES[0], kernel.RATES[-1]) == (Rate(60e3), Rate(10e6))
    assert min(size for _, size in steps) <= 1000
    assert all(0.04 <= rate.seconds(size) <= 6 for rate, size in steps)


def test_a_lead_is_whole_segments_and_more_than_a_burst() -> None:
    for rate in kernel.RATES:
        assert lead(rate) % MTU_PAYLOAD == 0
        assert lead(rate) > burst(rate) >= 1500


def test_the_median_is_of_each_figure() -> None:
    crossings = [Crossing(3.0, 10, 300), Crossing(1.0, 30, 100), Crossing(2.0, 20, 200)]
    assert median(crossings) == Crossing(2.0, 20, 200)


@pytest.mark.parametrize(
    ("seconds", "near"), [(1.0, True), (1.049, True), (0.951, True), (1.06, False), (0.94, False)]
)
def test_near_is_within_the_tolerance(seconds: float, near: bool) -> None:
    compared = Comparison(Rate(60e3), 1000, Crossing(1.0, 1, 1), Crossing(seconds, 1, 1))
    assert compared.near is near
    assert table([compared]).row_count == 1


def test_without_tools_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    assert kernel.run(1) == 1
    said = capsys.readouterr().err.strip()
    assert "install iproute2" in said
    assert said.count("\n") == 0


def test_without_rights_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: tool)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert kernel.run(1) == 1
    assert "root" in capsys.readouterr().err


@pytest.fixture
def machines() -> Iterator[Namespaces]:
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(Namespaces())
        except NamespaceError as error:
            pytest.skip(f"no network namespaces here: {error}")
        yield made


def test_our_estimate_of_the_air_is_the_kernels_count(machines: Namespaces) -> None:
    compared = asyncio.run(kernel.compare(machines, Rate(1e6), 30_000, repeats=1))
    assert compared.ours.up == pytest.approx(compared.kernel.up, rel=0.05)
    assert compared.ours.down == pytest.approx(compared.kernel.down, rel=0.6)
