"""A release: its version is written in few places, and its workflow uses what there is."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from overtone import __version__

ROOT = Path(__file__).parents[2]
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]


def steps(job: str) -> list[dict[str, Any]]:
    """The steps of a job of the workflow."""
    found: list[dict[str, Any]] = JOBS[job]["steps"]
    return found


@pytest.mark.parametrize(
    ("file", "line"), [("CITATION.cff", r"^version: (.+)$"), ("CHANGELOG.md", r"^## ([\w.]+)")]
)
def test_the_version_is_the_same_everywhere(file: str, line: str) -> None:
    found = re.search(line, (ROOT / file).read_text(), re.MULTILINE)
    assert found
    assert found[1] == __version__


def test_jobs_wait_for_the_tests_and_nothing_is_published_before_everything_is_built() -> None:
    def before(job: str) -> set[str]:
        needs = JOBS[job].get("needs", [])
        named = {needs} if isinstance(needs, str) else set(needs)
        return named.union(*map(before, named))

    assert before("publish") == set(JOBS) - {"publish"}
    assert all("check" in before(job) for job in JOBS if job != "check")


def test_what_it_makes_are_targets_and_what_it_builds_are_files() -> None:
    commands = "\n".join(step.get("run", "") for job in JOBS for step in steps(job))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = set(re.findall(r"^make ([a-z]+)", commands, re.MULTILINE))
    assert {"test", "npm"} <= made <= targets
    for image in JOBS["images"]["strategy"]["matrix"]["include"]:
        dockerfile = (ROOT / image["file"]).read_text()
        for argument in re.findall(r"^(\w+)=", image.get("arguments", ""), re.MULTILINE):
            assert f"ARG {argument}=" in dockerfile


def test_actions_have_versions() -> None:
    for job in JOBS:
        for step in steps(job):
            assert re.fullmatch(r"[\w-]+/[\w.-]+@[\w./-]+", step.get("uses", "a/b@v1"))


def test_compose_takes_the_images_that_it_publishes() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    taken = set(re.findall(r"image: \$\{IMAGES:-overtone\}-([a-z-]+):\$\{TAG:-latest\}", compose))
    assert taken == {"server", "server-gpu", "bench"}
    assert taken <= {image["name"] for image in JOBS["images"]["strategy"]["matrix"]["include"]}
