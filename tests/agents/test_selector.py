"""``--devices``: names are alternatives, labels must all hold, and nothing matches by accident."""

from __future__ import annotations

import pytest

from agents.coordinator.selector import effective_labels, select
from agents.messages import Device, DeviceState
from profiler.errors import InputError
from tests.builders import NOW, VERSIONS, make_inventory


def device(name: str, hardware: str = "cpu-board", **labels: str) -> Device:
    return Device(
        id=f"id-{name}",
        name=name,
        state=DeviceState.OFFLINE,
        labels=labels,
        inventory=make_inventory(kind=hardware),
        versions=VERSIONS,
        address="192.0.2.1",
        metrics_port=9400,
        registered_at=NOW,
        last_seen_at=None,
    )


FLEET = (
    device("orin-1", "jetson", room="lab"),
    device("pi5-a", room="lab"),
    device("pi5-b", room="attic"),
    device("tower", "gpu", room="attic", kind="workstation"),
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("all", "orin-1 pi5-a pi5-b tower"),
        ("pi5-a", "pi5-a"),
        ("pi5-b,orin-1", "orin-1 pi5-b"),
        (" pi5-a , pi5-a ", "pi5-a"),
        ("room=lab", "orin-1 pi5-a"),
        ("kind=cpu-board", "pi5-a pi5-b"),
        ("kind=cpu-board,room=attic", "pi5-b"),
        ("kind=workstation", "tower"),
        ("pi5-a,pi5-b,room=lab", "pi5-a"),
        ("all,room=lab", "orin-1 pi5-a"),
        ("name=tower", "tower"),
    ],
)
def test_what_is_selected(text: str, names: str) -> None:
    assert [found.name for found in select(text, FLEET)] == names.split()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "selects nothing"),
        (" , ", "selects nothing"),
        ("pi5-c", "Did you mean pi5-b, pi5-a"),
        ("zzz", "There are: orin-1, pi5-a, pi5-b, tower"),
        ("pi5-a,nope", "names 'nope'"),
        ("room=", "malformed label 'room='"),
        ("=lab", "malformed label '=lab'"),
        ("room=cellar", "matches no device"),
        ("kind=gpu", "matches no device"),  # the owner's label says otherwise
        ("pi5-b,room=lab", "matches no device"),
        ("*", "names '*'"),
        ("room=lab,room=attic", "room"),
    ],
)
def test_what_selects_nothing_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        select(text, FLEET)
    assert words in str(caught.value)
    assert caught.value.field == "devices"


def test_an_empty_fleet_says_how_to_get_a_device() -> None:
    with pytest.raises(InputError, match="fleetmark agent"):
        select("all", ())


def test_the_owners_labels_come_first() -> None:
    assert effective_labels(FLEET[3]) == {"kind": "workstation", "name": "tower", "room": "attic"}
