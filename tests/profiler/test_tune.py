"""Setting and putting back, on trees of files that stand for the kernel's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profiler.errors import InputError
from profiler.result import KnobName, TuneReport, TuneSetting
from profiler.tuning import sysfs_write, tune
from profiler.tuning.knobs import KNOBS, jetson_advice
from profiler.tuning.state import Change, TuneState, is_alive, save, started, states
from profiler.tuning.tune import Tuning, in_force, keep, leftovers, restore_all, tuned

CPU = "sys/devices/system/cpu"
GOVERNORS = [f"{CPU}/cpufreq/policy{n}/scaling_governor" for n in range(2)]
NO_TURBO = f"{CPU}/intel_pstate/no_turbo"
PROFILE = "sys/firmware/acpi/platform_profile"
PREFERENCE = f"{CPU}/cpufreq/policy0/energy_performance_preference"
BOOT = "proc/sys/kernel/random/boot_id"
# Until a test gives up on a child. It asserts nothing about time.
PATIENCE_SECONDS = 120


class Device:
    """A root with knobs, and a directory for states."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.states = folder / "states"
        self.put(BOOT, "first")
        for number, path in enumerate(GOVERNORS):
            self.put(path, "powersave" if number else "schedutil")
            self.put(path.replace("governor", "available_governors"), "performance powersave")
        self.put(NO_TURBO, "0")
        self.put(PROFILE, "balanced")
        self.put(f"{PROFILE}_choices", "low-power balanced performance")
        self.put(PREFERENCE, "balance_performance")

    def put(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(f"{text}\n")

    def get(self, path: str) -> str:
        return (self.root / path).read_text().strip()

    def tuned(self, *names: KnobName):  # type: ignore[no-untyped-def] # noqa: ANN201
        return tuned(names, state_dir=self.states, root=self.root)

    def keep(self, *names: KnobName) -> TuneReport:
        return keep(names, state_dir=self.states, root=self.root)

    def restore(self) -> TuneReport:
        return restore_all(state_dir=self.states, root=self.root)

    def leftovers(self) -> tuple[Change, ...]:
        return leftovers(state_dir=self.states, root=self.root)

    @property
    def files(self) -> list[str]:
        return sorted(p.name for p in self.states.glob("*")) if self.states.exists() else []

    @property
    def governors(self) -> list[str]:
        return [self.get(path) for path in GOVERNORS]


GOVERNOR, TURBO, POWER_PROFILE, EPP = KnobName
BEFORE = ["schedutil", "powersave"]
SET = ["performance", "performance"]


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


# --- as long as a block runs ------------------------------------------------------------------


def test_a_knob_is_set_verified_and_put_back(device: Device) -> None:
    with device.tuned(GOVERNOR) as tuning:
        assert device.governors == SET
        assert [s.after for s in tuning.report.settings] == SET
        assert [s.restored for s in tuning.report.settings] == [None, None]
        assert device.files == [f"{os.getpid()}.tuned.json"]
    assert device.governors == BEFORE
    assert device.files == []
    assert tuning.report.settings[0] == TuneSetting(
        knob=GOVERNOR,
        path=f"/{GOVERNORS[0]}",
        before="schedutil",
        wanted="performance",
        after="performance",
        held=True,
        restored="schedutil",
    )


def test_only_what_is_asked_for_is_set(device: Device) -> None:
    with device.tuned(TURBO) as tuning:
        assert device.get(NO_TURBO) == "1"
        assert device.governors == BEFORE
        assert device.get(PROFILE) == "balanced"
    assert [s.knob for s in tuning.report.settings] == [TURBO]
    assert device.get(NO_TURBO) == "0"


def test_all_knobs_at_once(device: Device) -> None:
    before = {p: p.read_text() for p in device.root.rglob("*") if p.is_file()}
    with device.tuned(*KnobName):
        assert device.governors == SET
        assert device.get(NO_TURBO) == "1"
        assert device.get(PROFILE) == "performance"
        assert device.get(PREFERENCE) == "performance"
    after = {p: p.read_text().strip() for p in device.root.rglob("*") if p.is_file()}
    assert after == {p: text.strip() for p, text in before.items()}


def test_what_has_the_value_already_is_reported_and_never_written(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in GOVERNORS:
        device.put(path, "performance")
    monkeypatch.setattr(tune, "write", lambda *_: pytest.fail("it was written"))
    with device.tuned(GOVERNOR) as tuning:
        assert device.files == []
    assert [(s.before, s.after, s.restored) for s in tuning.report.settings] == [
        ("performance", "performance", None)
    ] * 2


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_however_the_block_ends_it_is_put_back(device: Device, error: type[BaseException]) -> None:
    with pytest.raises(error), device.tuned(GOVERNOR):
        raise error
    assert device.governors == BEFORE
    assert device.files == []


def test_what_was_there_before_is_on_disk_before_the_first_write(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        (saved,) = states(device.states, device.root)
        assert [c.before for c in saved.state.changes] == BEFORE
        assert device.governors == BEFORE
        raise RuntimeError("reached")

    monkeypatch.setattr(tune, "write", crash)
    with pytest.raises(RuntimeError, match="reached"), device.tuned(GOVERNOR):
        pass


def test_one_that_cannot_be_set_undoes_the_others(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sysfs_write.write

    def refusing(change: Change, value: str, root: Path) -> None:
        if change.knob is TURBO:
            raise InputError("tune", "turbo", "was refused by the kernel", "Leave it out")
        real(change, value, root)

    monkeypatch.setattr(tune, "write", refusing)
    with pytest.raises(InputError, match="refused by the kernel"), device.tuned(GOVERNOR, TURBO):
        pytest.fail("the block ran")
    assert device.governors == BEFORE
    assert device.files == []


def test_a_value_that_does_not_stick_is_an_error(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "write", lambda *_: None)
    with pytest.raises(InputError, match="still says schedutil"), device.tuned(GOVERNOR):
        pytest.fail("the block ran")


def test_what_someone_else_sets_meanwhile_is_left_to_him_and_said(device: Device) -> None:
    with device.tuned(GOVERNOR) as tuning:
        device.put(GOVERNORS[0], "ondemand")
    first, second = tuning.report.settings
    assert device.governors == ["ondemand", "powersave"]
    assert first.held is False
    assert first.note == "something else set it to ondemand meanwhile, and it was left so"
    assert (second.held, second.restored, second.note) == (True, "powersave", None)


def test_a_knob_that_another_takes_along_is_put_back_by_it(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As intel_pstate does: the governor sets the preference, and refuses another one until it is
    # itself put back, which gives the preference back too.
    real = sysfs_write.write

    def coupled(change: Change, value: str, root: Path) -> None:
        if change.knob is EPP and value != "performance" and "performance" in device.governors:
            raise InputError("tune", "preference", "was refused: device busy", "")
        real(change, value, root)
        if change.knob is GOVERNOR:
            fast = value == "performance"
            device.put(PREFERENCE, "performance" if fast else "balance_performance")

    monkeypatch.setattr(tune, "write", coupled)
    with device.tuned(GOVERNOR, EPP) as tuning:
        assert device.get(PREFERENCE) == "performance"
    assert device.get(PREFERENCE) == "balance_performance"
    assert device.governors == BEFORE
    assert tuning.report.settings[-1].held is True
    assert tuning.report.settings[-1].note is None


def test_a_cpu_that_goes_away_is_no_error(device: Device) -> None:
    with device.tuned(GOVERNOR) as tuning:
        (device.root / GOVERNORS[0]).unlink()
    assert [s.note for s in tuning.report.settings] == ["is no longer there", None]
    assert device.get(GOVERNORS[1]) == "powersave"
    assert device.files == []


def test_a_second_tuning_inside_the_first_leaves_it_whole(device: Device) -> None:
    with device.tuned(GOVERNOR):
        with device.tuned(GOVERNOR, TURBO):
            assert device.get(NO_TURBO) == "1"
        assert device.governors == SET
        assert device.get(NO_TURBO) == "0"
        assert [c.knob for c in states(device.states, device.root)[0].state.changes] == [
            GOVERNOR, GOVERNOR,
        ]  # fmt: skip
    assert device.governors == BEFORE
    assert device.files == []


def test_in_another_thread_no_signal_is_touched(device: Device) -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def inside() -> None:
        with device.tuned(GOVERNOR):
            seen.append((signal.getsignal(signal.SIGTERM), device.governors))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [(before, SET)]
    assert device.governors == BEFORE


# --- signals ----------------------------------------------------------------------------------

CHILD = """
import os, signal, sys
from pathlib import Path
from profiler.result import KnobName
from profiler.tuning.tune import tuned
root, states, mode = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
# As a shell starts it; under nohup it would be ignored, and is to stay so.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if mode == "own-handler":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
if mode == "ignored":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
with tuned([KnobName.GOVERNOR], state_dir=states, root=root):
    if mode == "forked":
        pid = os.fork()
        if pid == 0:
            print(os.getpid(), flush=True)
            signal.pause()
        os.waitpid(pid, 0)
        print((root / sys.argv[4]).read_text().strip(), flush=True)
        sys.exit(0)
    print("set", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def child(device: Device, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A process that has set the governor and waits for a line."""
    arguments = [str(device.root), str(device.states), request.param, GOVERNORS[0]]
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    yield process
    process.kill()
    process.communicate()


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize(
    ("child", "number", "status"),
    [
        ("default", signal.SIGTERM, -signal.SIGTERM),
        ("default", signal.SIGHUP, -signal.SIGHUP),
        ("own-handler", signal.SIGTERM, 7),
    ],
    indirect=["child"],
)
def test_a_signal_ends_it_as_ever_and_all_is_put_back(
    device: Device, child: subprocess.Popen[str], number: signal.Signals, status: int
) -> None:
    assert heard(child) == "set"
    assert device.governors == SET
    child.send_signal(number)
    assert child.wait(PATIENCE_SECONDS) == status
    assert device.governors == BEFORE
    assert device.files == []


@pytest.mark.parametrize("child", ["ignored"], indirect=True)
def test_a_signal_that_is_ignored_stays_so(device: Device, child: subprocess.Popen[str]) -> None:
    assert heard(child) == "set"
    child.send_signal(signal.SIGHUP)
    child.communicate("go on\n", timeout=PATIENCE_SECONDS)
    assert child.returncode == 0
    assert device.governors == BEFORE


@pytest.mark.parametrize("child", ["forked"], indirect=True)
def test_a_signal_to_a_forked_child_ends_that_child_only(
    device: Device, child: subprocess.Popen[str]
) -> None:
    os.kill(int(heard(child)), signal.SIGTERM)
    assert heard(child) == "performance"
    assert child.wait(PATIENCE_SECONDS) == 0
    assert device.governors == BEFORE


@pytest.mark.parametrize("child", ["default"], indirect=True)
def test_what_a_killed_process_left_is_put_back_by_the_next(
    device: Device, child: subprocess.Popen[str]
) -> None:
    assert heard(child) == "set"
    with pytest.raises(InputError, match="still runs on what it set"):
        device.restore()
    with pytest.raises(InputError, match=f"process {child.pid} has set this device"):
        device.keep(GOVERNOR)
    assert device.leftovers() == ()
    child.kill()
    child.wait(PATIENCE_SECONDS)
    assert device.governors == SET
    assert [c.before for c in device.leftovers()] == BEFORE
    report = device.restore()
    assert [(s.before, s.after, s.restored) for s in report.settings] == [
        ("schedutil", "performance", "schedutil"),
        ("powersave", "performance", "powersave"),
    ]
    assert device.governors == BEFORE
    assert device.files == []
    assert device.restore().settings == ()


# --- until it is put back ---------------------------------------------------------------------


def test_what_is_kept_outlives_its_process_until_it_is_put_back(device: Device) -> None:
    report = device.keep(GOVERNOR)
    assert [s.after for s in report.settings] == SET
    assert device.files == ["kept.tuned.json"]
    assert len(device.leftovers()) == 2
    device.restore()
    assert device.governors == BEFORE
    assert device.files == []


def test_what_is_kept_twice_goes_back_to_what_the_first_found(device: Device) -> None:
    device.keep(GOVERNOR)
    device.put(GOVERNORS[0], "ondemand")
    device.keep(GOVERNOR, TURBO)
    assert device.governors == SET
    assert [s.note for s in device.restore().settings] == [None] * 3
    assert device.governors == BEFORE
    assert device.get(NO_TURBO) == "0"


def test_a_second_keep_that_fails_leaves_the_first_as_it_was(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.keep(GOVERNOR)
    with monkeypatch.context() as patched:
        patched.setattr(tune, "write", lambda *_: None)
        with pytest.raises(InputError, match="still says 0"):
            device.keep(TURBO)
    assert device.governors == SET
    assert [c.knob for c in device.leftovers()] == [GOVERNOR, GOVERNOR]
    device.restore()
    assert device.governors == BEFORE


def test_a_run_on_a_device_that_is_kept_changes_nothing(device: Device) -> None:
    device.keep(GOVERNOR)
    with device.tuned(GOVERNOR):
        assert device.files == ["kept.tuned.json"]
    assert device.governors == SET
    device.restore()
    assert device.governors == BEFORE


def test_after_a_reboot_nothing_is_put_back(device: Device) -> None:
    device.keep(GOVERNOR)
    device.put(BOOT, "second")
    device.put(GOVERNORS[0], "performance")
    assert device.restore().settings == ()
    assert device.get(GOVERNORS[0]) == "performance"
    assert device.files == []


def test_a_number_that_another_process_has_now_is_not_the_owner() -> None:
    mine = started(os.getpid())
    assert mine is not None
    state = TuneState(boot=None, owner=os.getpid(), owner_started=mine, changes=())
    assert is_alive(state)
    assert not is_alive(state.model_copy(update={"owner_started": mine - 1}))
    assert not is_alive(state.model_copy(update={"owner": None, "owner_started": None}))


def test_a_state_that_makes_no_sense_is_named(device: Device) -> None:
    device.states.mkdir()
    (device.states / "kept.tuned.json").write_text("{")
    with pytest.raises(InputError, match="does not say what was there before"):
        device.restore()
    assert (device.states / "kept.tuned.json").exists()


def state_with(path: str, before: str = "x", wanted: str = "y") -> TuneState:
    change = Change(knob=GOVERNOR, path=path, before=before, wanted=wanted)
    return TuneState(boot="first", owner=None, owner_started=None, changes=(change,))


@pytest.mark.parametrize("path", ["etc/passwd", f"{CPU}/../../../../etc/passwd", NO_TURBO])
def test_a_state_never_leads_to_a_file_that_is_no_such_knob(device: Device, path: str) -> None:
    for name in ("etc/passwd", NO_TURBO):
        device.put(name, "y")
    save(device.states, state_with(path))
    (setting,) = device.restore().settings
    assert setting.note == "is no longer there"
    assert device.get("etc/passwd") == "y"
    assert device.get(NO_TURBO) == "y"


@pytest.mark.parametrize("value", ["", "a b", "a\nb", "../x/y", "x" * 65, "é"])
def test_a_state_never_holds_what_is_no_value(value: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        state_with(GOVERNORS[0], before=value)


def test_a_state_is_written_beside_a_link_and_not_through_it(device: Device) -> None:
    device.put("etc/passwd", "root")
    device.states.mkdir()
    (device.states / "kept.tuned.json").symlink_to(device.root / "etc/passwd")
    save(device.states, state_with(GOVERNORS[0]))
    assert device.get("etc/passwd") == "root"
    assert not (device.states / "kept.tuned.json").is_symlink()


def test_a_state_may_be_read_by_all_and_written_by_its_owner(device: Device) -> None:
    save(device.states, state_with(GOVERNORS[0]))
    assert (device.states / "kept.tuned.json").stat().st_mode & 0o777 == 0o644


def test_a_state_directory_that_cannot_be_written_sets_nothing(device: Device) -> None:
    device.states.write_text("a file")
    with pytest.raises(InputError, match="cannot be written"):
        device.keep(GOVERNOR)
    assert device.governors == BEFORE


# --- what cannot be set -----------------------------------------------------------------------


@pytest.mark.parametrize("name", list(KnobName))
def test_a_device_without_the_knob_says_so(tmp_path: Path, name: KnobName) -> None:
    with pytest.raises(InputError) as refused:
        keep([name], state_dir=tmp_path / "states", root=tmp_path)
    assert refused.value.field == "tune"
    assert refused.value.value == name
    assert "cannot be set" in refused.value.problem
    assert not (tmp_path / "states").exists()


def test_without_permission_the_command_is_named_and_nothing_is_set(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever runs the tests may be root, whom mode bits do not stop.
    monkeypatch.setattr(os, "access", lambda path, mode: "no_turbo" not in str(path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(InputError) as refused:
        device.keep(GOVERNOR, TURBO)
    assert "needs root" in refused.value.problem
    assert f"echo 1 | sudo tee /{NO_TURBO}" in refused.value.remedy
    assert device.governors == BEFORE
    assert device.files == []


def test_the_command_sets_all_cpus_at_once(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(InputError) as refused:
        device.keep(GOVERNOR)
    command = "echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor"
    assert refused.value.remedy.endswith(command)


@pytest.mark.parametrize(
    ("code", "euid", "text"),
    [
        (1, 1000, "needs root"),
        (13, 0, "refused even to root"),
        (30, 0, "refused even to root"),
        (22, 0, "refused by the kernel"),
    ],
)
def test_what_the_kernel_refuses(
    device: Device, monkeypatch: pytest.MonkeyPatch, code: int, euid: int, text: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "geteuid", lambda: euid)
    monkeypatch.setattr(os, "write", refuse)
    change = Change(knob=GOVERNOR, path=GOVERNORS[0], before="a", wanted="b")
    with pytest.raises(InputError, match=text):
        sysfs_write.write(change, "b", device.root)


def test_a_governor_that_the_kernel_does_not_offer(device: Device) -> None:
    path = GOVERNORS[1].replace("governor", "available_governors")
    device.put(path, "powersave schedutil")
    with pytest.raises(InputError, match="the kernel offers powersave schedutil"):
        device.keep(GOVERNOR)
    assert device.governors == BEFORE


@pytest.mark.parametrize("text", ["", "a b", "\0\1", "x" * 100])
def test_a_value_that_could_not_be_put_back_is_left_alone(device: Device, text: str) -> None:
    (device.root / NO_TURBO).write_text(text)
    with pytest.raises(InputError, match="could not be put back"):
        device.keep(GOVERNOR, TURBO)
    assert device.governors == BEFORE


def test_turbo_is_set_where_the_device_has_it(device: Device) -> None:
    (device.root / NO_TURBO).unlink()
    device.put(f"{CPU}/cpufreq/boost", "1")
    with device.tuned(TURBO):
        assert device.get(f"{CPU}/cpufreq/boost") == "0"
    assert device.get(f"{CPU}/cpufreq/boost") == "1"


def test_every_knob_is_described() -> None:
    assert {knob.name for knob in KNOBS} == set(KnobName)
    assert all(knob.what and knob.absent and knob.places for knob in KNOBS)


MODES = "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n"


@pytest.mark.parametrize(
    ("status", "conf", "text"),
    [
        ("pmode:0000", MODES, "sudo nvpmodel -m 2"),
        ("pmode:0002", MODES, "Fix the clocks"),
        ("pmode:0002", "", "nvpmodel -m N"),
    ],
)
def test_a_jetsons_commands_are_advised_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, conf: str, text: str
) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("it was run"))
    for name, content in (("var/lib/nvpmodel/status", status), ("etc/nvpmodel.conf", conf)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    advice = jetson_advice(tmp_path)
    assert advice is not None
    assert text in advice
    assert "jetson_clocks" in advice


def test_elsewhere_there_is_no_such_advice(tmp_path: Path) -> None:
    assert jetson_advice(tmp_path) is None


# --- whatever happens in between --------------------------------------------------------------

VALUES = st.sampled_from(["powersave", "schedutil", "performance", "ondemand"])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    first=st.tuples(VALUES, VALUES),
    meddled=st.tuples(st.none() | VALUES, st.none() | VALUES),
    crashed=st.booleans(),
)
def test_each_file_ends_as_it_began_unless_someone_else_wanted_otherwise(
    device: Device,
    first: tuple[str, str],
    meddled: tuple[str | None, str | None],
    crashed: bool,
) -> None:
    for path, value in zip(GOVERNORS, first, strict=True):
        device.put(path, value)
    tuning = Tuning([GOVERNOR], device.states, device.root, owner=os.getpid())
    tuning.set()
    for path, other in zip(GOVERNORS, meddled, strict=True):
        if other is not None:
            device.put(path, other)
    if crashed:
        for saved in states(device.states, device.root):
            saved.path.unlink()
            save(device.states, saved.state.model_copy(update={"owner_started": -1}))
        device.restore()
    else:
        tuning.restore()
    for path, value, other in zip(GOVERNORS, first, meddled, strict=True):
        kept = other is not None and (other != "performance" or value == "performance")
        assert device.get(path) == (other if kept else value)
    assert device.files == []


# --- what a result says -----------------------------------------------------------------------


def in_force_on(device: Device) -> TuneReport | None:
    return in_force(state_dir=device.states, root=device.root)


def test_nothing_is_in_force_before_and_after(device: Device) -> None:
    assert in_force_on(device) is None
    with device.tuned(GOVERNOR):
        found = in_force_on(device)
    assert in_force_on(device) is None
    assert found is not None
    assert [(s.before, s.after, s.note) for s in found.settings] == [
        ("schedutil", "performance", None),
        ("powersave", "performance", None),
    ]
    # A result is made while it is still set.
    assert {(s.held, s.restored) for s in found.settings} == {(None, None)}


def test_what_doctor_set_is_in_force_too(device: Device) -> None:
    device.keep(TURBO)
    with device.tuned(GOVERNOR):
        found = in_force_on(device)
    assert found is not None
    assert {s.knob for s in found.settings} == {GOVERNOR, TURBO}


def test_what_did_not_hold_is_said(device: Device) -> None:
    with device.tuned(TURBO):
        device.put(NO_TURBO, "0")
        found = in_force_on(device)
    assert found is not None
    (setting,) = found.settings
    assert (setting.after, setting.note) == ("0", "something else set it to 0 meanwhile")
