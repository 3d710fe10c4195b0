"""The one thread on a device in which runs are measured, one assignment after the other."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from profiler.pool import WorkerPool

log = logging.getLogger(__name__)

Task = Callable[[WorkerPool], None]


class Bench(threading.Thread):
    """Does tasks in turn, with a pool of workers that stay warm for a while after the last.

    The kernel ends a worker with the thread that started it, so that thread must outlive the runs.

    Args:
        make_pool: called in the thread.
        keep_warm_seconds: how long workers wait for another task; 0 ends them at once.
    """

    def __init__(self, make_pool: Callable[[], WorkerPool], keep_warm_seconds: float) -> None:
        super().__init__(name="bench", daemon=True)
        self._make_pool = make_pool
        self._keep_warm = keep_warm_seconds
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()

    def do(self, task: Task) -> None:
        """Queue a task. What it raises is logged, and is nobody's answer."""
        self._tasks.put(task)

    def run(self) -> None:
        pool = self._make_pool()
        warm = False
        while True:
            try:
                task = self._tasks.get(timeout=self._keep_warm if warm else None)
            except queue.Empty:
                pool.close()
                warm = False
                continue
            try:
                task(pool)
            except Exception:
                # Whatever it was, the next task must still find its thread: a full disk, say, under
                # the result of a run that had failed.
                log.exception("a task of the bench raised")
            warm = True
