"""``python -m profiler.worker --events-fd N``: the measured process.

Reads commands (``profiler.commands``), one JSON object a line, from standard input until its end,
and answers each with events, one JSON object a line, on the file descriptor N. That channel is its
own, so that what a model prints cannot corrupt it: stdout is joined to stderr before anything else
happens. Plain Python, no Ray. The process itself never touches a model: its forked children do.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback

from pydantic import ValidationError

from profiler.allocation import classify
from profiler.commands import COMMANDS, Event
from profiler.errors import RunFailure
from profiler.events import FailureEvent
from profiler.process import die_with_parent
from profiler.result import FailureKind

# The kernel ends a process with a high score first: a model that eats the memory takes the worker
# with it, and neither the agent nor Ray.
OOM_SCORE = 800


def _offer_to_oom_killer() -> None:
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(str(OOM_SCORE))
    except OSError as error:
        print(f"oom_score_adj not set: {error}", file=sys.stderr)  # noqa: T201


class Channel:
    """Writes events. A line is one write, so that children's lines do not mix (pipe, < 4 KiB)."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, event: Event) -> None:
        data = event.model_dump_json().encode() + b"\n"
        while data:
            data = data[os.write(self._descriptor, data) :]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m profiler.worker", description=__doc__)
    parser.add_argument("--events-fd", type=int, required=True, help="descriptor for events")
    channel = Channel(parser.parse_args().events_fd)
    die_with_parent()
    os.dup2(2, 1)
    _offer_to_oom_killer()
    return serve(channel)


def serve(channel: Channel) -> int:
    """Carry out commands until there are no more; the exit status of the worker."""
    from profiler.runner import Runner

    runner = Runner(channel.send)
    for line in sys.stdin.buffer:
        try:
            channel.send(runner.carry_out(COMMANDS.validate_json(line)))
        except ValidationError as error:
            channel.send(FailureEvent(failure=FailureKind.DEVICE_ERROR, message=str(error)))
        except Exception as error:  # noqa: BLE001 - reported, typed, with its traceback on stderr
            if not isinstance(error, RunFailure):
                traceback.print_exc()
            failure = classify(error)
            channel.send(FailureEvent(failure=failure.kind, message=str(failure)))
        if runner.spent:
            break
    return 0


if __name__ == "__main__":
    sys.exit(main())
