"""Compares each run with its baseline when its result comes, and keeps the verdict."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from agents.coordinator.baselines import Pair
from agents.coordinator.samples import SampleStore
from agents.coordinator.store import Store
from agents.parquet import read_iterations
from profiler.comparing.comparison import Comparison
from profiler.comparing.results import compare_results
from profiler.errors import FleetmarkError, InputError
from profiler.result import RunResult, RunStatus
from profiler.spec import Scenario

if TYPE_CHECKING:
    from profiler.comparing.compare import Sample

log = logging.getLogger(__name__)


class Judge:
    """Verdicts are worked out here once, and only read from then on.

    Args:
        store: has the results, and keeps the verdicts.
        samples: has the raw iterations.
    """

    def __init__(self, store: Store, samples: SampleStore) -> None:
        self._store = store
        self._samples = samples
        # One at a time: a comparison keeps a core busy, which a device on this host may need.
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def judge(self, run_id: str) -> None:
        """Compare a run with its baseline, if it succeeded and has one."""
        with self._lock:
            candidate = self._store.result(run_id)
            if candidate is None or candidate.status is not RunStatus.SUCCEEDED:
                return
            pair = self._store.baselines.baseline_of(run_id)
            baseline = self._store.result(pair.baseline_run_id) if pair else None
            if pair is None or baseline is None:
                self._store.baselines.drop(run_id)
                return
            self._store.baselines.keep(run_id, pair, self._compare(baseline, candidate))
            log.info("run %s was compared with %s", run_id, _name(pair))

    def catch_up(self) -> None:
        """Judge what was stored and not judged: the coordinator ended in between, or is new."""
        for run_id in self._store.baselines.unjudged():
            if self._closing.is_set():
                return
            self.judge(run_id)

    def close(self) -> None:
        """The coordinator ends: what is left is for its next start."""
        self._closing.set()

    def _compare(self, baseline: RunResult, candidate: RunResult) -> Comparison:
        first, second = self._iterations(baseline), self._iterations(candidate)
        if first is not None and second is not None:
            try:
                return compare_results(baseline, candidate, iterations=(first, second))
            except InputError as error:
                log.warning("raw iterations of run %s: %s", candidate.run_id, error)
        return compare_results(baseline, candidate)

    def _iterations(self, result: RunResult) -> Sample | None:
        """One array per process; ``None`` where there are none, or they cannot be read."""
        if result.scenario == Scenario.OFFLINE:
            return None
        path = self._samples.path(result.run_id, result.attempt)
        try:
            return read_iterations(path.read_bytes()).timed_groups() or None
        except FileNotFoundError:
            return None
        except (FleetmarkError, OSError) as error:
            log.warning("the raw iterations of run %s: %s", result.run_id, error)
            return None


def _name(pair: Pair) -> str:
    return f"{pair.baseline_run_id}{' (pinned)' if pair.pinned else ''}"
