"""Decoding of pictures in child processes, which are limited in time and memory; see `picture_worker`."""

import contextlib
import logging
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import LetterBox, Profile
from overtone.gpu_server.errors import BadRequest, ServiceError, Stopping, TooLarge
from overtone.gpu_server.pictures import picture_worker
from overtone.gpu_server.pictures.picture_worker import (
    READY,
    REQUEST,
    SIZE,
    TOO_LARGE,
    VALUES,
    frame,
    read_frame,
)

log = logging.getLogger(__name__)

# A new process imports numpy and Pillow, which takes long where many other processes want the processor.
START_SECONDS = 60.0


class _WorkerError(Exception):
    """A worker has ended, or did not reply in time."""


class _Worker:
    """One process, and the pipes to it."""

    def __init__(self, memory: int) -> None:
        # A program of its own, because a fork of this process would inherit gRPC's threads half alive. It inherits
        # none of its sockets. Ctrl-C in a terminal does not reach another process group; in a session of its own,
        # which Linux schedules as a group, its niceness would count for nothing beside the network.
        self._process = subprocess.Popen(
            (sys.executable, "-m", picture_worker.__name__, str(memory)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(),
            process_group=0,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def ask(self, request: bytes, seconds: float) -> bytes:
        """The reply to a request.

        Raises:
            _WorkerError: it ended, or did not reply within so many seconds and was killed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        limit = threading.Timer(seconds, self._process.kill)
        limit.start()
        try:
            self._process.stdin.write(frame(request))
            self._process.stdin.flush()
            reply = read_frame(self._process.stdout)
        except OSError:
            reply = None
        finally:
            limit.cancel()
        if not reply:
            raise _WorkerError
        return reply

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # what was not written goes nowhere
                pipe.close()


class PictureDecoder:
    """Turns pictures into the quantised values that a device would have sent, in child processes.

    A process is started when a picture arrives and none is idle, so there are as many as threads call `values` at one
    time. One that takes too long, or dies, is replaced when the next picture arrives.

    Args:
        profile: of the model.
        seconds: the limit for one picture.
        memory: the limit of bytes for one picture.
        letter_boxed: whether a picture is taken whole, in the corner of a square; else its centre is cropped.
    """

    def __init__(self, profile: Profile, seconds: float, memory: int, *, letter_boxed: bool = False) -> None:
        self.profile = profile
        self.seconds = seconds
        self._letter_boxed = letter_boxed
        self._memory = memory
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._closed = False
        # In case nobody calls `close`: a process that waits for a request would wait for ever.
        self._finalizer = weakref.finalize(self, _end_all, self._idle)

    @property
    def idle(self) -> list[int]:
        """The ids of the processes that wait for a picture."""
        return [worker.pid for worker in self._idle]

    def values(
        self, encoded: bytes, pixels: int, cropped: bool
    ) -> tuple[NDArray[np.int16], LetterBox | None]:
        """Decode a picture; blocks until it is done.

        Returns:
            Values int16[C, h, w] of all channels, at the profile's default quality, and where the picture lies in the
            image, if it is letter-boxed.

        Args:
            encoded: a JPEG, PNG or WebP.
            pixels: its number of pixels by its header; more are refused.
            cropped: as in `frequency.fit`.

        Raises:
            BadRequest: it cannot be read.
            TooLarge: it takes too much time or memory.
        """
        worker = self._take()
        try:
            reply = worker.ask(REQUEST.pack(pixels, cropped, self._letter_boxed) + encoded, self.seconds)
        except _WorkerError:
            worker.end()
            raise TooLarge(
                f"the picture was not decoded within {self.seconds:g} s and its memory; send a smaller one"
            ) from None
        except BaseException:
            worker.end()
            raise
        self._put_back(worker)
        return self._parse(reply)

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._closed = True
            _end_all(self._idle)

    def _take(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise Stopping
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    return worker
                worker.end()
        return self._start()

    def _start(self) -> _Worker:
        worker = _Worker(self._memory)
        try:
            if worker.ask(self.profile.to_json().encode(), START_SECONDS) == READY:
                return worker
        except _WorkerError:
            log.error("a process that decodes pictures did not start")
        worker.end()
        raise ServiceError("pictures cannot be decoded now; it has been logged")

    def _put_back(self, worker: _Worker) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(worker)
                return
        worker.end()

    def _parse(self, reply: bytes) -> tuple[NDArray[np.int16], LetterBox | None]:
        kind, rest = reply[:1], reply[1:]
        if kind != VALUES:
            raise (TooLarge if kind == TOO_LARGE else BadRequest)(rest.decode(errors="replace"))
        blocks, channels = self.profile.blocks, len(self.profile.low) + len(self.profile.high)
        values = np.frombuffer(rest, "<i2", offset=SIZE.size).astype(np.int16)
        letter_box = LetterBox(self.profile.size, *SIZE.unpack_from(rest)) if self._letter_boxed else None
        return values.reshape(channels, blocks, blocks), letter_box


def _end_all(workers: list[_Worker]) -> None:
    while workers:
        workers.pop().end()


def _environment() -> dict[str, str]:
    """This process's environment, with this package on the path, and one thread, as threads would take memory."""
    home = str(Path(__file__).parents[3])
    path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": path}
