"""Commands and programs of the documentation that are cheap enough are run, as they stand there.

`make soak` runs these. Which commands are run is said by `RUN`, and `REASONS` says of every other why it is not.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.website.command_lines import command_lines
from tests.website.markdown import PAGES, ROOT, Page

# Seconds that any command may take on a busy machine.
PATIENCE = 300

# These end by themselves, those until they are interrupted.
ENDING = ("classify", "detect", "describe", "models", "token", "c-profile")
LASTING = ("serve", "link", "watch")
RUN = (*ENDING, *LASTING)
REASONS = {
    "demo": "tests/end_to_end and `make demo` run it",
    "train": "trains for an hour and more, on a data set",
    "adapt": "trains for an hour and more, on images",
    "evaluate": "needs a data set",
    "calibrate": "needs a data set",
    "bench": "measures for minutes to hours",
}
# How a word of a command begins that is not run for another reason than its name, and what it needs.
NEEDS = {
    "--ray": "a cluster of Ray",
    "/dev/video0": "a camera",
    "rtsp://": "a camera",
    "/var/lib/camera": "a folder of the reader's",
    "grpcs://": "certificates",
    "--tokens-file": "a file of tokens, which tests/gpu_server/test_access.py has",
    "cuda": "a GPU",
    "/images": "a container",
    "--models": "a folder of models, which tests/gpu_server/test_repository.py has",
    "runs/": "a checkpoint that was trained",
    "--install-completion": "a shell that may be changed",
}
PROGRAM = re.compile(r"^from overtone import .*Client$", re.MULTILINE)


def documented() -> Iterator[tuple[Page, list[str]]]:
    """Every `overtone` command of a shell block, once."""
    seen = set()
    for page in PAGES:
        for language, code in page.blocks():
            for words in command_lines(code) if language in ("", "sh") else ():
                if words[0] == "overtone" and len(words) > 1 and (key := tuple(words)) not in seen:
                    seen.add(key)
                    yield page, words


def why_not(words: Sequence[str]) -> str:
    """Why a command is not run, or ""."""
    if words[1] in REASONS:
        return REASONS[words[1]]
    found = [need for beginning, need in NEEDS.items() if any(word.startswith(beginning) for word in words)]
    return f"needs {found[0]}" if found else ""


def test_every_command_is_run_or_there_is_a_reason() -> None:
    for page, words in documented():
        if words[1].startswith("-"):
            continue
        known = words[1] in RUN or words[1] in REASONS
        assert known, f"{page}: {' '.join(words)}: put the command into RUN or REASONS of {__file__}"
    run = [words for _, words in documented() if not why_not(words)]
    assert {words[1] for words in run} == set(RUN)


@dataclass
class Sandbox:
    """A folder with what the commands of the pages name, and a server for them."""

    folder: Path
    grpc: str
    http: str

    def words(self, command: Sequence[str]) -> list[str]:
        """A command with this server's addresses in place of the documentation's."""
        found = [self.text(word) for word in command[1:]]
        if found[0] in ("classify", "detect", "watch") and "--server" not in found:
            found += ["--server", f"grpc://{self.grpc}"]
        if found[0] == "watch" and "--existing" not in found:  # so that there is something to say
            found.append("--existing")
        if "--listen" in found:
            found[found.index("--listen") + 1] = "127.0.0.1:0"
        return [sys.executable, "-m", "overtone", *found]

    def text(self, text: str) -> str:
        """The same in any text."""
        text = re.sub(r"(HOST|localhost|127\.0\.0\.1):(50051|6000)", self.grpc, text)
        return re.sub(r"(HOST|localhost|127\.0\.0\.1):8080", self.http, text)

    def run(self, command: Sequence[str]) -> None:
        """Run a command that ends."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"

    def run_until_it_speaks(self, command: Sequence[str]) -> None:
        """Run a command that lasts, until it prints something; interrupted, it has to end with 0."""
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None
                first = process.stdout.readline()
                process.send_signal(signal.SIGINT)
                _, errors = process.communicate(timeout=PATIENCE)
            finally:
                process.kill()  # nothing, where it has ended
        assert first, errors
        assert process.returncode == 0, errors

    @property
    def environment(self) -> dict[str, str]:
        """Free ports for servers; this checkout's code."""
        ports = {"OVERTONE_GRPC_PORT": "0", "OVERTONE_HTTP_PORT": "0", "OVERTONE_RUNTIME": "torch"}
        return os.environ | ports | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that commands name."""
    folder = tmp_path_factory.mktemp("reader")
    picture = ROOT / "gpu_server" / "page" / "cat.jpg"
    for name in ("photograph.jpg", "FOLDER/0.jpg", "FOLDER/1.jpg", "gpu_server/page/cat.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, folder / name)
    (folder / "pictures").mkdir()
    shutil.copy(picture, folder / "pictures")
    shutil.copy(ROOT / "models" / "checkpoints" / "photographs.safetensors", folder / "FILE")
    return folder


@contextmanager
def served(folder: Path, model: str) -> Iterator[Sandbox]:
    """The folder, with a server of a model."""
    made = Sandbox(folder, "", "")
    command = [sys.executable, "-m", "overtone", "serve", "--model", model]
    with subprocess.Popen(command, env=made.environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            grpc, http = re.findall(r"127\.0\.0\.1:\d+", process.stdout.readline())
            yield Sandbox(folder, grpc, http)
        finally:
            process.terminate()
    assert process.returncode == 0


@pytest.fixture(scope="module")
def sandbox(folder: Path) -> Iterator[Sandbox]:
    with served(folder, "photographs") as found:
        yield found


@pytest.fixture(scope="module")
def detecting(folder: Path) -> Iterator[Sandbox]:
    with served(folder, "voc2007") as found:
        yield found


@pytest.mark.soak
@pytest.mark.timeout(3 * PATIENCE)
@pytest.mark.parametrize("words", [words for _, words in documented()], ids=" ".join)
def test_commands_run(words: list[str], request: pytest.FixtureRequest) -> None:
    if reason := why_not(words):
        pytest.skip(reason)
    sandbox: Sandbox = request.getfixturevalue("detecting" if words[1] == "detect" else "sandbox")
    command = sandbox.words(words)
    lasting = words[1] in LASTING and "--list" not in words
    (sandbox.run_until_it_speaks if lasting else sandbox.run)(command)


def programs() -> list[tuple[str, str]]:
    """Python of the pages that is a whole program of a device."""
    found = [(str(page), code) for page in PAGES for language, code in page.blocks() if language == "python"]
    return [(page, code) for page, code in found if PROGRAM.search(code)]


@pytest.mark.soak
@pytest.mark.timeout(3 * PATIENCE)
@pytest.mark.parametrize(("page", "code"), programs(), ids=[page for page, _ in programs()])
def test_programs_run(page: str, code: str, sandbox: Sandbox) -> None:
    sandbox.run([sys.executable, "-c", sandbox.text(code)])
