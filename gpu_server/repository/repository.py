"""The loaded models of a server, one or those of a folder: loading, replacing, and routing by name and version."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from overtone.gpu_server.core import Core
from overtone.gpu_server.errors import BadRequest, StartError, Unavailable, UnknownModel
from overtone.gpu_server.repository import model_folder
from overtone.gpu_server.repository.candidate import Candidate
from overtone.gpu_server.repository.model_folder import ONLY, ModelId
from overtone.gpu_server.repository.shadow import Shadow
from overtone.gpu_server.repository.traffic_split import TrafficSplit
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.system.watched_files import Fingerprint, fingerprint
from overtone.gpu_server.workers.face import Face
from overtone.models import find

log = logging.getLogger(__name__)

# Characters of an unknown name that an error message repeats.
LONGEST = 100
Files = Mapping[ModelId, Path]
State = Literal["READY", "UNAVAILABLE"]


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A version of a model, whether it is ready, and if not, the reason."""

    model: ModelId
    state: State
    reason: str = ""


class Repository:
    """The cores of a server, by model and version.

    Args:
        settings: the models, canaries and shadows.
        face: of this process; None if it is the only one.
        load: makes the core of a file, or raises StartError.
        retire: called with a core that no new session or request will use.
        on_change: called after cores have been added, replaced or removed.
    """

    def __init__(
        self,
        settings: Settings,
        face: Face | None,
        load: Callable[[ModelId, Path], Awaitable[Core]],
        retire: Callable[[Core], None],
        on_change: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._face = face
        self._load_core = load
        self._retire = retire
        self._on_change = on_change
        self._cores: dict[ModelId, Core] = {}
        self._splits: dict[str, TrafficSplit] = {}
        # The files when they were last listed.
        self._there: Files = {}
        # Of each version that was loaded or failed to: its file as it was then, and why it failed.
        self._seen: dict[ModelId, tuple[Path, Fingerprint]] = {}
        self._problems: dict[ModelId, str] = {}
        self._one_at_a_time = asyncio.Lock()

    async def load(self) -> None:
        """Load all models, when a server starts; those that cannot be loaded are logged.

        Raises:
            StartError: none can be, or not the one that is to be the default.
        """
        problems = await self._update(self._files())
        if not self._cores:
            raise StartError(next(iter(problems.values()), f"{self._settings.models}: no models are there"))
        for model, problem in problems.items():
            log.error("%s is not served: %s", model, problem)
        default = self._settings.default_model
        if default and default not in self.names:
            raise StartError(f"--default-model {default}: no such model, only {', '.join(self.names)}")

    async def refresh(self) -> None:
        """Load models that are new or have changed, unload those whose files are gone; log those that fail to load."""
        async with self._one_at_a_time:
            try:
                files = self._files()
            except StartError as error:
                log.error("the models stay as they were: %s", error)
                return
            before = dict(self._cores)
            problems = await self._update(files)
            for model, problem in problems.items():
                log.error(
                    "%s %s: %s", model, "stays as it was" if model in before else "is not served", problem
                )
            for model, core in self._cores.items():
                if core is not before.get(model):
                    again = " again; sessions finish on the one before" if model in before else ""
                    log.info("%s has been loaded%s", model, again)
            for model in before.keys() - self._cores.keys():
                log.info("%s is served no longer", model)

    async def load_by_name(self, name: str) -> None:
        """Load the versions of a model that are new or have changed.

        Raises:
            UnknownModel: there is no such model.
            BadRequest: a version cannot be loaded.
        """
        async with self._one_at_a_time:
            try:
                files = {model: path for model, path in self._files().items() if model.name == name}
            except StartError as error:
                raise BadRequest(str(error)) from None
            if not files:
                raise UnknownModel(f"there is no model {name!r}")
            for model in self._problems.keys() & files.keys():
                del self._seen[model]  # whoever asks wants another attempt
            problems = await self._update(files, name)
            if problems:
                raise BadRequest("; ".join(problems.values()))

    async def unload_by_name(self, name: str) -> None:
        """Unload all versions of a model; sessions finish on them.

        Raises:
            UnknownModel: no such model is loaded.
        """
        async with self._one_at_a_time:
            if not any(model.name == name for model in self._cores):
                raise UnknownModel(f"no model {name!r} is loaded")
            await self._update({}, name)

    async def stop(self) -> None:
        """Stop all engines."""
        await asyncio.gather(*(core.stop() for core in self._cores.values()))

    @property
    def failure(self) -> str | None:
        """Why no image can be judged; None while one of the models works."""
        failures = [core.failure for core in self._cores.values()]
        return None if None in failures else next(iter(failures), "no model is loaded")

    @property
    def statuses(self) -> Sequence[ModelStatus]:
        """All versions that have a file or are loaded."""
        loaded = {model: core.failure or "" for model, core in self._cores.items()}
        reasons = dict.fromkeys(self._there, "not loaded") | self._problems | loaded
        return [
            ModelStatus(model, "UNAVAILABLE" if reason else "READY", reason)
            for model, reason in sorted(reasons.items())
        ]

    @property
    def names(self) -> Sequence[str]:
        """The names of the models of which a version is loaded."""
        return sorted({core.name for core in self._cores.values()})

    def versions(self, name: str) -> Sequence[Core]:
        """The loaded versions of a model, the lowest first."""
        return [core for _, core in sorted(self._cores.items()) if core.name == name]

    def resolve(self, selector: str) -> TrafficSplit:
        """The traffic split for NAME, NAME:VERSION, or the empty text, which is the default model.

        Raises:
            UnknownModel: no such model or version is loaded.
            Unavailable: its network fails.
        """
        try:
            found = self._splits[selector]
        except KeyError:
            raise self._unknown(selector) from None
        if failure := found.served.failure:
            raise Unavailable(f"{failure}; try again later or elsewhere", retry_after=1.0)
        return found

    def judges(self, core: Core, selector: str) -> bool:
        """Whether a core is still in the traffic split of this selector."""
        found = self._splits.get(selector)
        return found is not None and core in (found.served, found.canary)

    def generation(self, number: int | None) -> Core | None:
        """The core of this generation, if it is still loaded."""
        return next((core for core in self._cores.values() if core.generation == number), None)

    def _unknown(self, selector: str) -> UnknownModel:
        name, _, version = (selector or self._settings.default_model)[:LONGEST].partition(":")
        if versions := self.versions(name):
            known = ", ".join(repr(core.version) for core in versions)
            return UnknownModel(f"{name!r} has no version {version!r}, only {known}")
        names = ", ".join(map(repr, self.names)) or "none"
        return UnknownModel(f"no model {name!r} is served here, only {names}")

    def _files(self) -> Files:
        """The versions that there are now.

        Raises:
            StartError: the folder cannot be read.
        """
        self._there = self._read()
        return self._there

    def _read(self) -> Files:
        if self._face is not None:
            return {ONLY: self._face.generation.model}
        if self._settings.models is None:
            try:
                return {ONLY: find(self._settings.model)}
            except ValueError:  # loading it will report the error
                return {ONLY: Path(self._settings.model)}
        try:
            return model_folder.read(self._settings.models)
        except OSError as error:
            raise StartError(
                f"cannot read the models of {self._settings.models}: {error.strerror}"
            ) from error

    async def _update(self, files: Files, name: str | None = None) -> dict[ModelId, str]:
        """Load new and changed versions of a model, or of all, unload those without a file; returns the errors."""
        before = dict(self._cores)
        problems = {}
        try:
            for model, path in files.items():
                state = path, fingerprint(path)
                if self._seen.get(model) == state:
                    continue
                self._seen[model] = state
                try:
                    self._cores[model] = await self._load_core(model, path)
                    self._problems.pop(model, None)
                except StartError as error:
                    problems[model] = self._problems[model] = str(error)
        finally:
            for model in [model for model in self._seen if name in (None, model.name) and model not in files]:
                del self._seen[model]
                self._problems.pop(model, None)
                self._cores.pop(model, None)
            self._split()
            for model, core in before.items():
                if self._cores.get(model) is not core:
                    self._retire(core)
            self._on_change()
        return problems

    def _split(self) -> None:
        """Update the traffic splits after the cores have changed."""
        versions: dict[str, dict[int, Core]] = defaultdict(dict)
        self._splits = {}
        for model, core in sorted(self._cores.items()):
            versions[core.name][model.version] = core
            self._splits[f"{core.name}:{core.version}"] = TrafficSplit(core)
        for name, cores in versions.items():
            self._splits[name] = self._of_name(name, cores)
        default = self._settings.default_model or min(versions, default="")
        if default in versions:
            self._splits[""] = self._splits[default]

    def _of_name(self, name: str, cores: Mapping[int, Core]) -> TrafficSplit:
        """The split of a model: it serves its highest version that is neither canary nor shadow, else its highest."""
        canary = _candidate(self._settings.canary, name)
        shadow = _candidate(self._settings.shadow, name)
        tried = {each.model.version for each in (canary, shadow) if each is not None}
        served = cores[max(cores.keys() - tried or cores)]
        for core in cores.values():
            core.shadow = None
        if shadow is not None and (second := cores.get(shadow.model.version, served)) is not served:
            served.shadow = Shadow.of(served, second, shadow.share, partial(self._busy, second))
        if canary is None or (first := cores.get(canary.model.version, served)) is served:
            return TrafficSplit(served)
        return TrafficSplit(served, first, canary.share)

    def _busy(self, apart: Core) -> bool:
        """Whether an image waits for the network of another core."""
        return any(core.busy for core in self._cores.values() if core is not apart)


def _candidate(candidates: Sequence[Candidate], name: str) -> Candidate | None:
    return next((each for each in candidates if each.model.name == name), None)
