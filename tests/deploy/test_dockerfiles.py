import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.deploy.stack import DEPLOY, ROOT, services

FILES = sorted(DEPLOY.glob("Dockerfile.*"))


def lines(file: Path) -> list[str]:
    """The instructions, one per line, without comments."""
    text = re.sub(r"\\\n\s*", " ", file.read_text())
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def copied(file: Path) -> list[str]:
    """What is copied from the repository."""
    found = [line.split()[1:-1] for line in lines(file) if line.startswith("COPY ") and "--from" not in line]
    return [source for sources in found for source in sources]


def reaches_docker(path: str) -> bool:
    """Whether .dockerignore lets the path through: the last pattern that matches decides."""
    let = True
    for pattern in (ROOT / ".dockerignore").read_text().split():
        bare = pattern.removeprefix("!").removeprefix("**/")
        if any(fnmatch(part, bare) for part in (path, path.split("/")[0])):
            let = pattern.startswith("!")
    return let


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_sources_exist_and_reach_docker(file: Path) -> None:
    for source in copied(file):
        assert (ROOT / source).exists(), source
        assert reaches_docker(source), source


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_all_packages_are_in_the_image(file: Path) -> None:
    linked = {link.name for link in (ROOT / "overtone").iterdir() if link.is_symlink()}
    assert {"overtone", "frequency"} < {"overtone", *linked} <= set(copied(file))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_base_is_an_argument_and_the_user_is_not_root(file: Path) -> None:
    instructions = lines(file)
    assert [line for line in instructions if line.startswith("ARG BASE=")]
    assert {line.split()[1] for line in instructions if line.startswith("FROM ")} == {"${BASE}"}
    (user,) = [line.split()[1] for line in instructions if line.startswith("USER ")]
    assert int(user) > 0


def test_build_arguments_exist() -> None:
    for name, service in services().items():
        if "build" in service:
            text = (ROOT / service["build"]["dockerfile"]).read_text()
            for argument in service["build"]["args"]:
                assert re.search(rf"^ARG {argument}=", text, re.MULTILINE), (name, argument)


def test_data_and_secrets_do_not_reach_docker() -> None:
    for path in (".env", ".git", "docs", "tests", "runs", "key.pem", "deploy/grafana"):
        assert not reaches_docker(path), path
