"""TuneSetting a device for steadier figures: asked for, verified by reading back, and put back.

Nothing is set that was not asked for, and everything that was set is in the report. What was there
before is on disk before the first change, so that what a killed process left can be put back by
``restore_all``; after a reboot the kernel has done so itself.

``with tuned(...)`` sets for as long as its block runs, ``keep`` until ``restore_all``.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from profiler.errors import InputError
from profiler.result import KnobName, TuneReport, TuneSetting
from profiler.sensors.probe import first_line
from profiler.tuning.knobs import FIELD, files, knob
from profiler.tuning.state import (
    VALUE,
    Change,
    TuneState,
    boot_id,
    is_alive,
    save,
    started,
    state_path,
    states,
)
from profiler.tuning.sysfs_write import refuse_unwritable, write

# Cleared at boot, as the knobs are, and written by root only, as they are.
STATE_DIR = Path("/run/fleetmark")

# What ends a process from outside and can be caught; Ctrl-C is an exception already.
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class _Outcome(NamedTuple):
    held: bool
    restored: str | None
    note: str | None


class Tuning:
    """Knobs of one device: set together, put back together.

    Args:
        names: of the knobs.
        state_dir: where what was there before is kept.
        root: of the filesystem that holds the knobs.
        owner: the process to whose life the changes are bound; ``None`` lets them outlive it.
    """

    def __init__(
        self, names: Sequence[KnobName], state_dir: Path, root: Path, owner: int | None
    ) -> None:
        self._names = tuple(dict.fromkeys(names))
        self._state_dir = state_dir
        self._root = root
        self._owner = owner
        self._pid = os.getpid()
        self._earlier: TuneState | None = None
        self._changed: tuple[Change, ...] = ()
        self._settings: tuple[TuneSetting, ...] = ()

    @property
    def report(self) -> TuneReport:
        return TuneReport(settings=self._settings)

    def set(self) -> None:
        """Set all, or nothing.

        Raises:
            InputError: one cannot be set here; says why and what to do.
        """
        planned = [change for name in self._names for change in _plan(name, self._root)]
        needed = tuple(change for change in planned if change.before != change.wanted)
        for change in needed:
            refuse_unwritable(change, self._root)
        self._refuse_other_owners()
        if needed:
            self._changed = needed
            save(self._state_dir, self._state(needed))
        try:
            self._settings = tuple(_set(change, self._root) for change in planned)
        except BaseException:
            self.restore()
            raise

    def restore(self) -> None:
        """Put back what was set and nobody else has changed since. May be called again.

        In a process that was forked from the one that set it this does nothing.

        Raises:
            InputError: the kernel does not take it back.
        """
        if not self._changed or os.getpid() != self._pid:
            return
        outcomes = _put_back(self._changed, self._root)
        self._settings = tuple(
            setting.model_copy(update=outcomes[setting.path]._asdict())
            if setting.path in outcomes
            else setting
            for setting in self._settings
        )
        self._changed = ()
        if self._earlier is not None:
            save(self._state_dir, self._earlier)
        else:
            state_path(self._state_dir, self._owner).unlink(missing_ok=True)

    def _refuse_other_owners(self) -> None:
        for saved in states(self._state_dir, self._root):
            if saved.state.owner == self._owner:
                self._earlier = saved.state
            elif is_alive(saved.state):
                raise InputError(
                    FIELD, ",".join(self._names),
                    f"is refused: process {saved.state.owner} has set this device and runs on it",
                    "Wait until it has ended: two measurements disturb each other anyway",
                )  # fmt: skip

    def _state(self, needed: tuple[Change, ...]) -> TuneState:
        # What an earlier call found is what is to be put back, whatever was set since.
        earlier = self._earlier.changes if self._earlier else ()
        known = {change.path for change in earlier}
        return TuneState(
            boot=boot_id(self._root),
            owner=self._owner,
            owner_started=None if self._owner is None else started(self._owner),
            changes=earlier + tuple(change for change in needed if change.path not in known),
        )


@contextmanager
def tuned(
    names: Sequence[KnobName], *, state_dir: Path = STATE_DIR, root: Path = Path("/")
) -> Iterator[Tuning]:
    """Set knobs while the block runs; they are put back however it ends.

    By an exception, Ctrl-C, SIGTERM or SIGHUP, that is; after a SIGKILL ``restore_all`` does it.
    The ``report`` of what is yielded is complete when the block is left.

    Args:
        names: of the knobs.
        state_dir: where what was there before is kept meanwhile.
        root: of the filesystem that holds the knobs.

    Raises:
        InputError: one cannot be set here, and none is.
    """
    tuning = Tuning(names, state_dir, root, owner=os.getpid())
    with _restored_on_signals(tuning.restore):
        try:
            tuning.set()
            yield tuning
        finally:
            tuning.restore()


def keep(
    names: Sequence[KnobName], *, state_dir: Path = STATE_DIR, root: Path = Path("/")
) -> TuneReport:
    """Set knobs until ``restore_all`` puts them back.

    Raises:
        InputError: one cannot be set here, and none is.
    """
    tuning = Tuning(names, state_dir, root, owner=None)
    tuning.set()
    return tuning.report


def restore_all(*, state_dir: Path = STATE_DIR, root: Path = Path("/")) -> TuneReport:
    """Put back what ``keep`` set, and what processes left that did not end in order.

    Raises:
        InputError: a process still runs on what it set, or the kernel does not take it back.
    """
    found = states(state_dir, root)
    for saved in found:
        if is_alive(saved.state):
            raise InputError(
                "restore", saved.state.owner, "is a process that still runs on what it set",
                "Wait until it has ended; it puts it back itself",
            )  # fmt: skip
    settings: list[TuneSetting] = []
    for saved in found:
        now = {change.path: _read(change, root) for change in saved.state.changes}
        outcomes = _put_back(saved.state.changes, root)
        settings += [
            _setting(change, after=now[change.path]).model_copy(
                update=outcomes[f"/{change.path}"]._asdict()
            )
            for change in saved.state.changes
        ]
        saved.path.unlink(missing_ok=True)
    return TuneReport(settings=tuple(settings))


def leftovers(*, state_dir: Path = STATE_DIR, root: Path = Path("/")) -> tuple[Change, ...]:
    """What is still set and would be put back by ``restore_all``.

    Raises:
        InputError: what was there before cannot be read.
    """
    found = [saved.state for saved in states(state_dir, root)]
    return tuple(change for state in found if not is_alive(state) for change in state.changes)


def in_force(*, state_dir: Path = STATE_DIR, root: Path = Path("/")) -> TuneReport | None:
    """What is changed on this device and not put back yet, by whomever; ``None``: nothing is.

    ``after`` is what a file says now. Others than fleetmark's changes are not known here, nor what
    had the wanted value by itself.

    Raises:
        InputError: what was changed cannot be read.
    """
    found = [_as_it_is(c, root) for saved in states(state_dir, root) for c in saved.state.changes]
    return TuneReport(settings=tuple(found)) if found else None


def _as_it_is(change: Change, root: Path) -> TuneSetting:
    now = _read(change, root)
    if now == change.wanted:
        return _setting(change, now)
    note = "is no longer there" if now is None else f"something else set it to {now} meanwhile"
    return _setting(change, now).model_copy(update={"note": note})


def _plan(name: KnobName, root: Path) -> list[Change]:
    """What the knob says now and is to say, file by file."""
    place, paths = files(knob(name), root)
    planned = []
    for path in paths:
        before = first_line(path) or ""
        if re.fullmatch(VALUE, before) is None:
            raise InputError(
                FIELD, name,
                f"is left alone: {path} says {before[:40]!r}, which could not be put back",
                "Leave it out of --tune",
            )  # fmt: skip
        relative = str(path.relative_to(root))
        planned.append(Change(knob=name, path=relative, before=before, wanted=place.wanted))
    return planned


def _read(change: Change, root: Path) -> str | None:
    return first_line(root / change.path)


def _setting(change: Change, after: str | None) -> TuneSetting:
    return TuneSetting(
        knob=change.knob,
        path=f"/{change.path}",
        before=change.before,
        wanted=change.wanted,
        after=after,
    )


def _set(change: Change, root: Path) -> TuneSetting:
    # Not by what it said when it was planned: one knob may have taken another along.
    if _read(change, root) != change.wanted:
        write(change, change.wanted, root)
    after = _read(change, root)
    if after != change.wanted:
        raise InputError(
            FIELD, change.knob,
            f"was set to {change.wanted}, and /{change.path} still says {after or 'nothing'}",
            "The driver or the firmware holds it; leave it out of --tune",
        )  # fmt: skip
    return _setting(change, after)


def _put_back(changes: Sequence[Change], root: Path) -> dict[str, _Outcome]:
    """Outcome by path. All are tried before the first failure is raised.

    In the order of setting: a CPU refuses another preference while its governor is performance.
    """
    ends = {change.path: _read(change, root) for change in changes}
    outcomes, failure = {}, None
    for change in changes:
        try:
            outcome = _put_one_back(change, root, held=ends[change.path] == change.wanted)
            outcomes[f"/{change.path}"] = outcome
        except InputError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return outcomes


def _put_one_back(change: Change, root: Path, *, held: bool) -> _Outcome:
    now = _read(change, root)
    if now is None or root / change.path not in _places(change.knob, root):
        return _Outcome(held, None, "is no longer there")
    if now == change.before:
        return _Outcome(held, now, None)
    if now != change.wanted:
        return _Outcome(held, now, f"something else set it to {now} meanwhile, and it was left so")
    write(change, change.before, root)
    after = _read(change, root)
    note = None if after == change.before else f"was put back to {change.before}, but says {after}"
    return _Outcome(held, after, note)


def _places(name: KnobName, root: Path) -> set[Path]:
    """All files that the knob may be in: a file of states never leads to any other."""
    return {path for place in knob(name).places for path in root.glob(place.pattern)}


@contextmanager
def _restored_on_signals(restore: Callable[[], None]) -> Iterator[None]:
    """Restore before a signal ends the process, and then let it do what it did before.

    Only the main thread may say what a signal does; elsewhere what was there stays on disk.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # What is ignored (nohup) or was not set from Python does not end this process by exception.
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    taken = {n: old for n, old in before.items() if callable(old) or old == signal.SIG_DFL}

    def ended(number: int, frame: FrameType | None) -> None:
        old = taken[signal.Signals(number)]
        try:
            restore()
        finally:
            if callable(old):
                old(number, frame)
            else:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)

    for number in taken:
        signal.signal(number, ended)
    try:
        yield
    finally:
        for number, old in taken.items():
            signal.signal(number, old)
