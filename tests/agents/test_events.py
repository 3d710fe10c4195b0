"""Server-sent events: what is sent, when, and to whom no longer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from agents.coordinator.events import FRESH_SECONDS, Snapshots, Streams
from agents.coordinator.store_errors import NotFoundError
from profiler.base import Frozen


class View(Frozen):
    n: int


class Source:
    """A view that changes; counts how often it is made."""

    def __init__(self, *values: int) -> None:
        self.values = list(values)
        self.made = 0

    def __call__(self) -> View:
        self.made += 1
        return View(n=self.values[min(self.made, len(self.values)) - 1])


def snapshots() -> Snapshots:
    """Never fresh: each look makes the view anew."""
    now = [0.0]

    def clock() -> float:
        now[0] += 2 * FRESH_SECONDS
        return now[0]

    return Snapshots(clock)


def sent(
    make: Callable[[], View],
    *,
    last: str | None = None,
    may: Callable[[], bool] = lambda: True,
    most: int = 4,
    streams: Streams | None = None,
) -> list[str]:
    async def collect() -> list[str]:
        found: list[str] = []
        lines = (streams or Streams(snapshots())).follow("t", make, may, last, tick=0.0)
        async for text in lines:
            found.append(text)
            if len(found) >= most:
                await lines.aclose()  # type: ignore[attr-defined]
                break
        return found

    return asyncio.run(collect())


def data_of(text: str) -> object:
    return json.loads(text.split("data: ")[1])


def test_a_view_is_sent_at_once_and_at_every_change() -> None:
    source = Source(1, 1, 1, 2, 3)
    _, *events = sent(source)
    assert [data_of(text) for text in events] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert all(text.startswith("id: ") for text in events)


def test_who_comes_back_is_told_only_what_is_new_also_by_another_coordinator() -> None:
    _, first = sent(Source(1), most=2)
    seen = first.splitlines()[0].removeprefix("id: ")
    _, *events = sent(Source(1, 1, 2), last=seen, most=2)
    assert [data_of(text) for text in events] == [{"n": 2}]


def test_a_token_that_is_taken_back_ends_the_stream() -> None:
    allowed = iter([True, False])
    events = sent(Source(1), may=lambda: next(allowed), most=9)
    assert events[-1].startswith("event: refused")


def test_what_is_gone_is_told() -> None:
    def make() -> View:
        raise NotFoundError("there is no\nrun 'x'")

    assert sent(make, most=9)[-1] == "event: gone\ndata: there is no run 'x'\n\n"


def test_streams_end_when_the_coordinator_stops() -> None:
    streams = Streams(snapshots())
    streams.close()
    assert sent(Source(1), streams=streams, most=9) == ["retry: 1000\n\n"]


def test_one_view_for_all_who_watch_the_same() -> None:
    kept = Snapshots(lambda: 0.0)
    source = Source(1, 2)
    assert kept.get("a", source).data == kept.get("a", source).data == '{"n":1}'
    assert source.made == 1
    kept.get("b", source)
    assert source.made == 2
