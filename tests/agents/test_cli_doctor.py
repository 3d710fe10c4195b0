"""``fleetmark doctor``: the table, the noise floor in words, setting and putting back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.cli import checks, doctor
from agents.cli.checks import Check, Verdict, device_state
from agents.cli.doctor import Diagnosis
from agents.cli.main import run
from agents.cli.noise_view import figure_rows, verdict_lines
from profiler.noise import floor as noise
from profiler.noise.floor import NoiseFloor, judge
from profiler.noise.neighbours import Neighbour
from profiler.tuning import tune
from tests.noise_traces import Trace, state, wander

GOVERNOR = "sys/devices/system/cpu/cpufreq/policy{}/scaling_governor"
MAKE = Neighbour(pid=4711, name="make", cpu_share=1.0)


@pytest.fixture(autouse=True)
def _a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    for module in (checks, doctor):
        monkeypatch.setattr(module, "STATE_DIR", tmp_path / "states")


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with two governors; `doctor` sets these and no others."""
    root = tmp_path / "root"
    for number in range(2):
        path = root / GOVERNOR.format(number)
        path.parent.mkdir(parents=True)
        path.write_text("powersave\n")

    def at_root(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments, **options: function(*arguments, **options, root=root)

    monkeypatch.setattr(doctor, "keep", at_root(tune.keep))
    monkeypatch.setattr(doctor, "restore_all", at_root(tune.restore_all))
    monkeypatch.setattr(checks, "leftovers", at_root(tune.leftovers))
    return root


def governors(root: Path) -> list[str]:
    return [(root / GOVERNOR.format(number)).read_text().strip() for number in range(2)]


def floor_of(trace: Trace, *, virtual: bool = False, **changes: Any) -> NoiseFloor:
    return judge("test-1", trace.build(), (MAKE,), state(**changes), virtual=virtual)


def measured(monkeypatch: pytest.MonkeyPatch, floor: NoiseFloor) -> list[float]:
    """Stands in for ten seconds of measuring; the seconds that were asked for."""
    asked: list[float] = []

    def measure(work: object, seconds: float, on_progress: Callable[[float], None]) -> NoiseFloor:
        asked.append(seconds)
        on_progress(seconds)
        return floor

    monkeypatch.setattr(noise, "measure_noise", measure)
    return asked


# --- the table --------------------------------------------------------------------------------


def test_the_table_comes_first_and_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert "what to do" in out
    assert "is fleetmark's own" in out
    assert "nothing is set by fleetmark" in out
    assert "measuring" not in err


def test_only_a_problem_makes_the_status_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for verdict, status in ((Verdict.OK, 0), (Verdict.WARNING, 0), (Verdict.PROBLEM, 1)):
        check = Check(name="x", verdict=verdict, found="y")
        monkeypatch.setattr(doctor, "run_checks", lambda check=check: (check,))
        assert run(["doctor"]) == status
        assert run(["doctor", "--json"]) == status
    assert "problem" in capsys.readouterr().out


def test_a_device_in_order_is_one_line() -> None:
    (check,) = device_state(
        state(temperatures_celsius={"cpu": 45.4, "gpu": 40.0}, power_mode="nvpmodel MAXN")
    )
    assert check.verdict is Verdict.OK
    assert check.found == "nvpmodel MAXN, plugged in, cpu at 45 °C, turbo on, 0 B in swap"


def test_what_is_not_in_order_is_a_line_each() -> None:
    found = device_state(
        state(
            governors=("powersave",), cpu_pressure_avg10=90.0, on_battery=True,
            power_mode="nvpmodel 15W", power_mode_highest=False,
        ),
        jetson="Run `sudo nvpmodel -m 2`",
    )  # fmt: skip
    # The governor and the load have checks of their own.
    assert [check.name for check in found] == ["on battery", "power mode"]
    assert {check.verdict for check in found} == {Verdict.WARNING}
    assert found[1].remedy == "Run `sudo nvpmodel -m 2`"


def test_a_device_that_shows_nothing_is_not_said_to_be_in_order() -> None:
    (check,) = device_state(state(turbo=None, on_battery=None, swap_used_bytes=None))
    assert check.found == "this system does not show it"


# --- noise ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "seconds"), [(["--noise"], 10.0), (["--noise", "--quick"], 3.0)]
)
def test_the_floor_is_measured_when_asked_for(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    seconds: float,
) -> None:
    asked = measured(monkeypatch, floor_of(Trace(delay=0.3)))
    assert run(["doctor", *options]) == 0
    assert asked == [seconds]
    out, err = capsys.readouterr()
    assert out.index("package agents") < out.index("This device is noisy")
    assert "make (pid 4711)" in out
    assert "neighbours inside" in out
    assert "stop them while you measure" in out
    assert f"measuring the noise floor for {seconds:g} s" in err


def test_json_holds_the_floor_and_nothing_else_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    floor = floor_of(Trace(delay=0.3))
    measured(monkeypatch, floor)
    assert run(["doctor", "--noise", "--json"]) == 0
    found = Diagnosis.model_validate_json(capsys.readouterr().out)
    assert found.noise == floor
    assert found.tuned is None
    assert found.checks


def test_a_real_measurement_of_a_second(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "QUICK_SECONDS", 1.0)
    assert run(["doctor", "--noise", "--quick", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["noise"]
    assert found["kind"].startswith("layers-")
    assert found["figures"]["blocks"] >= 1
    assert found["figures"]["slice_seconds"] > 0


def test_a_quiet_device_in_words() -> None:
    first, second = verdict_lines(floor_of(Trace()))
    assert first.startswith("This device is quiet (0.")
    assert ":" not in first
    assert second.startswith("Two runs of 10 s on it can be told apart when they differ by 0.")
    assert "as long as" not in second


@pytest.mark.parametrize(
    ("trace", "text"),
    [
        (Trace(stretch=wander(0.1)), "noisy"),
        (Trace(delay=0.02, jitter=0.0001), "others take the CPU away"),
        (Trace(blocks=12, stretch=np.linspace(1, 1.004, 12)), "wanders for longer"),
    ],
)
def test_what_limits_is_said(trace: Trace, text: str) -> None:
    assert text in next(verdict_lines(floor_of(trace)))


def test_what_cannot_be_told_is_not_promised() -> None:
    _, second = verdict_lines(floor_of(Trace(blocks=3)))
    assert second.startswith("Two runs of 10 s on it cannot be told apart with confidence: 3 block")
    # Who leaves between two runs changes both.
    _, shared = verdict_lines(floor_of(Trace(delay=0.2)))
    assert shared.endswith("as long as the others go on as they do now.")


def test_what_the_kernel_does_not_tell_is_no_zero() -> None:
    silent = Trace(extra={"run_delay_seconds": None, "stolen_seconds": None}, clock=None)
    rows = dict(figure_rows(floor_of(silent).figures))
    assert rows["waited for a CPU"] == "—"
    assert rows["stolen by the hypervisor"] == "—"
    assert "clock" not in rows
    assert "blocks without such waiting" not in rows
    full = dict(figure_rows(floor_of(Trace()).figures))
    assert full["clock"] == "3.00 GHz, varies by 0.0 %"
    assert full["hottest"] == "50 → 50 °C"
    assert full["waited for a CPU"] == "0.0 %"


# --- setting and putting back -----------------------------------------------------------------


def test_tune_sets_verifies_and_says_how_to_go_back(
    device: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", "--tune", "governor"]) == 0
    out, err = capsys.readouterr()
    assert governors(device) == ["performance"] * 2
    assert "set and read back" in out
    assert "set by fleetmark: governor" in out
    assert "fleetmark doctor --restore" in err
    assert run(["doctor"]) == 0
    assert "set by fleetmark: governor" in capsys.readouterr().out
    assert run(["doctor", "--restore"]) == 0
    out, _ = capsys.readouterr()
    assert governors(device) == ["powersave"] * 2
    assert "put back" in out
    assert "nothing is set by fleetmark" in out


def test_restore_with_nothing_to_put_back_says_so(
    device: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", "--restore"]) == 0
    assert "nothing was put back" in capsys.readouterr().err


def test_what_was_set_is_in_the_json(device: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--tune", "governor", "--json"]) == 0
    tuned = Diagnosis.model_validate_json(capsys.readouterr().out).tuned
    assert tuned is not None
    assert [(s.path, s.before, s.after) for s in tuned.settings] == [
        (f"/{GOVERNOR.format(number)}", "powersave", "performance") for number in range(2)
    ]
    assert run(["doctor", "--restore", "--json"]) == 0
    restored = Diagnosis.model_validate_json(capsys.readouterr().out).restored
    assert restored is not None
    assert [s.restored for s in restored.settings] == ["powersave"] * 2


def test_a_state_that_cannot_be_read_is_a_warning_in_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "states").mkdir()
    (tmp_path / "states" / "kept.tuned.json").write_text("nonsense")
    assert run(["doctor", "--json"]) == 0
    found = Diagnosis.model_validate_json(capsys.readouterr().out).checks
    (check,) = (check for check in found if check.name == "tuned")
    assert check.verdict is Verdict.WARNING
    assert "does not say what was there before" in check.found


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--quick"], "Say --noise --quick"),
        (["--tune", "governor", "--restore"], "contradicts --tune"),
        (["--tune", "govenor"], "Did you mean governor?"),
        (["--tune", ""], "names no value"),
        (["--tune", "turbo"], "the kernel offers no switch for turbo here"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_set(
    device: Path, capsys: pytest.CaptureFixture[str], options: list[str], text: str
) -> None:
    assert run(["doctor", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert text in err
    assert governors(device) == ["powersave"] * 2


def test_without_root_the_command_is_named(
    device: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert run(["doctor", "--tune", "governor"]) == 2
    assert "echo performance | sudo tee /sys/devices/system/cpu" in capsys.readouterr().err
