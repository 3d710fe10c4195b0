"""The sampler: a process of its own that reads every source on a fixed schedule.

A process rather than a thread: the workload's interpreter lock must not move the readings, and the
readings must not take time from the workload. It is forked before any engine is imported, keeps
all readings to itself while the run goes on, and hands them over at the end.

Two pipes join it to its parent. A byte or the end of file on the first asks it to end. On the
second it sends ``R`` after its first tick, and at the end its recording or ``!`` and an error.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter, sleep
from typing import NoReturn

from profiler.errors import InputError
from profiler.process import die_with_parent
from profiler.sensors.cpus import move
from profiler.sensors.discover import open_entry
from profiler.sensors.discover import select as select_sources
from profiler.sensors.newest import NewestWriter
from profiler.sensors.rates import NEVER_BLOCK
from profiler.sensors.recorder import decode, encode
from profiler.sensors.sampling import Opener, Sampling, Watch
from profiler.sensors.setup import SensorSetup
from profiler.sensors.site import HERE, Site, as_site
from profiler.sensors.trace import Trace

__all__ = ["Sampler", "Trace"]

MAX_HERTZ = 1000.0

_READY = b"R"
_ERROR = b"!"
_CHUNK_BYTES = 1 << 20
# A killed process is gone at once, unless a driver holds it in the kernel.
_REAP_SECONDS = 1.0

# What the child runs: the control pipe is its standard input, the result pipe is the argument.
Body = Callable[[int], bytes]


class Sampler:
    """A running sampler, as its parent sees it. ``start`` makes one."""

    def __init__(self, pid: int, control: int, result: int) -> None:
        self.pid = pid
        self._control = control
        self._result = result
        self._received = bytearray()
        self._trace: Trace | None = None

    @classmethod
    def start(
        cls,
        *,
        hertz: float = 10.0,
        only: tuple[str, ...] | None = None,
        workload_cpus: Collection[int] = (),
        root: Path | Site = HERE,
        watch: Watch | None = None,
        newest: Path | None = None,
        listen: bool = False,
    ) -> Sampler:
        """Fork the sampler and return at once. To be called while this process has one thread.

        Args:
            hertz: ticks per second.
            only: names of the sources to read; ``None`` reads all that are there.
            workload_cpus: where the measured work may run. The sampler keeps off them where the
                machine has more than two CPUs and leaves it others; empty when not known.
            root: of the filesystem that the sources read, or all that they are opened with.
            watch: is shown the readings while they come, in the sampler's process.
            newest: a ``NewestFile``, to which the sampler writes once a second what it read last.
            listen: first measure how often each source of energy has a new value; it is ready a
                second later then.

        Raises:
            InputError: ``hertz`` is out of range, or a source's name is unknown.
            OSError: the process or a pipe could not be made.
        """
        if not 0 < hertz <= MAX_HERTZ:
            raise InputError(
                "sample_hertz", hertz, "is no rate", f"Give one above 0, up to {MAX_HERTZ:g}."
            )
        openers = _openers(root, only, listen=listen)
        return cls.fork(lambda result: sample(openers, hertz, workload_cpus, watch, result, newest))

    @classmethod
    def start_for(
        cls,
        setup: SensorSetup,
        *,
        hertz: float = 10.0,
        workload_cpus: Collection[int] = (),
        root: Path = HERE,
        watch: Watch | None = None,
        newest: Path | None = None,
        listen: bool = False,
    ) -> Sampler:
        """As ``start``, of the sources and external meters that this device is set up with."""
        return cls.start(
            hertz=hertz,
            only=setup.only,
            workload_cpus=workload_cpus,
            root=Site.at(root, setup.meters),
            watch=watch,
            newest=newest,
            listen=listen,
        )

    @classmethod
    def fork(cls, body: Body) -> Sampler:
        """A child that runs ``body`` and sends what it returns.

        Raises:
            OSError: the process or a pipe could not be made.
        """
        control_read, control_write = os.pipe()
        result_read, result_write = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _child(parent, control_read, result_write, body)
        os.close(control_read)
        os.close(result_write)
        return cls(pid, control_write, result_read)

    def wait_ready(self, timeout_seconds: float = 10.0) -> bool:
        """Wait until the first readings were taken; ``False`` if that did not happen in time."""
        if not self._received and self._trace is None:
            self._receive(perf_counter() + timeout_seconds, until_end=False)
        return self._received.startswith(_READY)

    def stop(self, timeout_seconds: float = 10.0) -> Trace:
        """End the sampler and return what it read; called again, the same trace.

        Never raises. A sampler that died, or that does not answer in time and is killed, gives a
        trace without readings whose ``lost`` says so.
        """
        if self._trace is None:
            self._trace = self._stop(perf_counter() + timeout_seconds, timeout_seconds)
        return self._trace

    def _stop(self, deadline: float, timeout_seconds: float) -> Trace:
        with contextlib.suppress(BrokenPipeError):  # It is gone already; its exit says why.
            os.write(self._control, b"x")
        os.close(self._control)
        complete = self._receive(deadline, until_end=True)
        os.close(self._result)
        if not complete:
            _kill(self.pid)
        status = _reap(self.pid)
        if not complete:
            return _lost(f"it did not answer within {timeout_seconds:g} s and was killed")
        return _trace(bytes(self._received).removeprefix(_READY), status)

    def _receive(self, deadline: float, *, until_end: bool) -> bool:
        """Read the result pipe until its end, or once; ``False`` when the deadline came first."""
        poll = select.poll()
        poll.register(self._result, select.POLLIN)
        while poll.poll(max(0.0, deadline - perf_counter()) * 1000):
            chunk = os.read(self._result, _CHUNK_BYTES)
            self._received += chunk
            if not chunk or not until_end:
                return True
        return False


def _trace(received: bytes, status: int | None) -> Trace:
    if received.startswith(_ERROR):
        return _lost(received.removeprefix(_ERROR).decode(errors="replace"))
    if status:
        return _lost(_ending(status))
    try:
        # Also of a process that a driver still holds: what it sent is whole, or is found not to be.
        return decode(received)
    except ValueError as error:
        return _lost(str(error) if status == 0 else _ending(status))


def _lost(reason: str) -> Trace:
    return Trace(series=(), absent=(), report=None, lost=reason)


def _ending(status: int | None) -> str:
    if status is None:
        return "it ended, and another part of this process took note of how"
    if os.WIFSIGNALED(status):
        return f"it was killed by signal {os.WTERMSIG(status)}"
    return f"it ended itself with exit code {os.waitstatus_to_exitcode(status)}"


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # It ended in the meantime.
        os.kill(pid, signal.SIGKILL)


def _reap(pid: int) -> int | None:
    """The wait status, or ``None`` where there is none to be had."""
    deadline = perf_counter() + _REAP_SECONDS
    while perf_counter() < deadline:
        try:
            found, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return None
        if found:
            return status
        sleep(0.001)
    return None


def _child(parent: int, control: int, result: int, body: Body) -> NoReturn:
    """Everything that happens in the child; it must not run on into its parent's code."""
    code = 1
    try:
        _detach(parent, control, result)
        try:
            message = body(result)
        except Exception as error:  # noqa: BLE001 - the parent reports it, whatever it is
            message = _ERROR + f"{type(error).__name__}: {error}".encode()
        _write(result, message)
        # A thread that hangs in a driver keeps the process, and would keep the pipe open.
        os.close(result)
        code = 0
    finally:
        # No exit handlers and no flush: both belong to the parent.
        os._exit(code)


def _detach(parent: int, control: int, result: int) -> None:
    """Let go of everything that is the parent's, and of the terminal's Ctrl-C."""
    die_with_parent(parent=parent)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # The parent's file objects must not be collected here: they would close numbers that are
    # another file's by then.
    gc.freeze()
    os.dup2(control, 0)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    for fd in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if fd > 2 and fd != result:  # noqa: PLR2004 - standard error stays
            os.closerange(fd, fd + 1)


def _openers(root: Path | Site, only: tuple[str, ...] | None, *, listen: bool) -> list[Opener]:
    # Here no tick waits for a source that is slow to ask.
    site = replace(as_site(root), background=True)
    return [
        Opener(
            entry.name,
            partial(open_entry, entry, site),
            may_block=entry.name not in NEVER_BLOCK,
            listen=listen,
        )
        for entry in select_sources(only)
    ]


def sample(
    openers: Sequence[Opener],
    hertz: float,
    workload_cpus: Collection[int],
    watch: Watch | None,
    result: int,
    newest: Path | None = None,
) -> bytes:
    """A ``Body``: sample until the parent asks for the recording, which is returned."""
    place = move(workload_cpus)
    writer = NewestWriter.open(newest) if newest is not None else None
    sampling = Sampling(openers, hertz, watch=watch, newest=writer)
    sampling.run(_asked_to_stop, lambda: _write(result, _READY))
    return encode(sampling.recorders, sampling.absent, sampling.report(place), sampling.rhythms)


def _asked_to_stop(timeout_seconds: float) -> bool:
    # select, not poll: poll counts in milliseconds, and a tick is to be on time.
    return bool(select.select([0], [], [], timeout_seconds)[0])


def _write(fd: int, message: bytes) -> None:
    view = memoryview(message)
    while view:
        view = view[os.write(fd, view) :]
