"""The gate in front of what is taken down."""

from __future__ import annotations

import threading

import pytest

from agents.coordinator.gate import Gate, GateClosedError


def test_nobody_enters_a_closed_gate() -> None:
    gate = Gate()
    assert gate.close(0)
    with pytest.raises(GateClosedError, match="stopping"), gate.entered():
        pytest.fail("inside a closed gate")


def test_closing_waits_for_those_inside() -> None:
    gate, may_leave, inside = Gate(), threading.Event(), threading.Event()

    def call() -> None:
        with gate.entered():
            inside.set()
            may_leave.wait(10)

    caller = threading.Thread(target=call)
    caller.start()
    inside.wait(10)
    assert not gate.close(0.01)
    may_leave.set()
    assert gate.close(10)
    caller.join()


def test_a_call_that_fails_has_left() -> None:
    gate = Gate()
    with pytest.raises(ValueError, match="inside"), gate.entered():
        raise ValueError("inside")
    assert gate.close(0)
