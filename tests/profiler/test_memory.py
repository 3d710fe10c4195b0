"""Memory is read from /proc, the control group and the driver; what they do not tell is null."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from ctypes import c_int
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from profiler.base import Frozen
from profiler.device.accelerator_users import read_own_use
from profiler.forked import call_in_child
from profiler.memory import family, measure
from profiler.memory.family import FamilyWatch, descendants
from profiler.memory.group import TransientGroup, make_group, own_group
from profiler.memory.host import HostMemory, parse_status, read_host_memory, reset_peak
from profiler.memory.measure import Place, measure_memory, with_family, with_group
from profiler.memory.unified import is_unified, read_unified
from profiler.result import Memory
from tests.fake_model import REQUEST, FakeAdapter, FakeModel

STATUS = """Name:\tpython
Umask:\t0022
VmPeak:\t  912000 kB
VmHWM:\t  123456 kB
VmRSS:\t   98304 kB
RssAnon:\t   65536 kB
RssFile:\t   32768 kB
RssShmem:\t       0 kB
Groups:\t
"""


def test_the_fields_are_in_bytes() -> None:
    found = parse_status(STATUS)
    assert found.peak_rss == 123456 * 1024
    assert found.rss == 96 * 2**20
    assert found.anonymous == 64 * 2**20
    assert found.file == 32 * 2**20


def test_a_kernel_thread_has_none_of_them() -> None:
    with pytest.raises(KeyError, match="VmHWM"):
        parse_status("Name:\tkthreadd\nThreads:\t1\n")


def test_it_reads_below_the_given_root(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "status").write_text(STATUS, encoding="ascii")
    assert read_host_memory(tmp_path).peak_rss == 123456 * 1024


def test_a_kernel_that_cannot_reset_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="clear_refs"):
        reset_peak(tmp_path)


class _Peaks(Frozen):
    held: int
    after_free: int
    after_reset: int


SIZE = 128 * 2**20


def _peaks() -> _Peaks:
    block = bytearray(SIZE)
    held = read_host_memory().peak_rss
    del block
    after_free = read_host_memory().peak_rss
    reset_peak()
    return _Peaks(held=held, after_free=after_free, after_reset=read_host_memory().peak_rss)


def test_the_peak_stays_until_it_is_reset() -> None:
    found = call_in_child(_peaks, _Peaks, "the test")
    assert found.after_free >= found.held >= SIZE
    assert found.after_reset < found.held - SIZE // 2


# --- the process and what it starts ------------------------------------------------------------

MIB = 2**20


def status(rss_mib: int, anonymous_mib: int) -> str:
    return (
        f"VmHWM:\t{rss_mib * 1024} kB\nVmRSS:\t{rss_mib * 1024} kB\n"
        f"RssAnon:\t{anonymous_mib * 1024} kB\nRssFile:\t{(rss_mib - anonymous_mib) * 1024} kB\n"
    )


def make_process(proc: Path, pid: int, text: str, children: str | None, parent: int = 1) -> None:
    task = proc / str(pid) / "task" / str(pid)
    task.mkdir(parents=True, exist_ok=True)
    (proc / str(pid) / "status").write_text(text, encoding="ascii")
    (proc / str(pid) / "stat").write_text(f"{pid} (a) b) S {parent} 1 1 0 -1 0", encoding="ascii")
    if children is not None:
        (task / "children").write_text(children, encoding="ascii")


@pytest.mark.parametrize("listed", [True, False])
def test_the_family_is_found_with_and_without_the_kernels_lists(
    tmp_path: Path, listed: bool
) -> None:
    def children(text: str) -> str | None:
        return text if listed else None

    make_process(tmp_path, 10, STATUS, children("11 12 "))
    make_process(tmp_path, 11, STATUS, children("13 "), parent=10)
    make_process(tmp_path, 12, STATUS, children(""), parent=10)
    make_process(tmp_path, 13, STATUS, children(""), parent=11)
    make_process(tmp_path, 20, STATUS, children(""))
    assert sorted(descendants(tmp_path, 10)) == [11, 12, 13]
    assert descendants(tmp_path, 4711) == []


def test_a_circle_of_processes_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family, "_MOST_PROCESSES", 50)
    make_process(tmp_path, 10, STATUS, "10")
    assert len(descendants(tmp_path, 10)) == 50


def test_the_watch_keeps_the_highest_that_it_saw(tmp_path: Path) -> None:
    watch = FamilyWatch(tmp_path)
    watch.look(10)
    assert watch.largest is None
    for own, child in ((100, 300), (400, 50), (200, 100)):
        make_process(tmp_path, 10, status(own, own - 30), "11 12")
        make_process(tmp_path, 11, status(child, 10), "")
        watch.look(10)
    assert watch.largest is not None
    assert watch.largest.rss == 400 * MIB
    assert (watch.largest.anonymous, watch.largest.file) == (370 * MIB, 30 * MIB)
    assert watch.peak_rss == 450 * MIB
    # 12 was listed and had ended before it could be read.
    assert watch.processes == 2


@pytest.mark.parametrize("text", ["", "\0\xff", "VmHWM: x kB\nVmRSS: x kB\n", "VmHWM:\n"])
def test_a_status_that_makes_no_sense_is_left_out(tmp_path: Path, text: str) -> None:
    make_process(tmp_path, 10, STATUS, "11")
    make_process(tmp_path, 11, STATUS, "")
    (tmp_path / "11" / "status").write_text(text, encoding="latin-1")
    watch = FamilyWatch(tmp_path)
    watch.look(10)
    assert watch.processes == 1


def seen(rss: int, processes: int = 1, peak: int | None = None) -> FamilyWatch:
    watch = FamilyWatch()
    watch.largest = HostMemory(peak_rss=rss, rss=rss, anonymous=rss - 10, file=10)
    watch.peak_rss = rss if peak is None else peak
    watch.processes = processes
    return watch


def test_what_was_seen_close_to_the_peak_tells_what_it_was_made_of() -> None:
    found = with_family(Memory(peak_rss_bytes=1000), seen(960, processes=3, peak=1500))
    assert (found.peak_rss_anonymous_bytes, found.peak_rss_file_bytes) == (950, 10)
    assert found.peak_rss_split_reason is None
    assert (found.tree_peak_rss_bytes, found.tree_processes) == (1500, 3)


def test_a_peak_that_nobody_saw_is_not_split() -> None:
    found = with_family(Memory(peak_rss_bytes=1000 * MIB), seen(900 * MIB))
    assert found.peak_rss_anonymous_bytes is None
    assert found.peak_rss_split_reason == (
        "the peak passed between two looks: 900 of 1000 MiB were seen"
    )
    # The kernel's own figure of this process is a lower bound of the family's.
    assert found.tree_peak_rss_bytes == 1000 * MIB


def test_without_a_peak_and_without_a_look_there_are_reasons() -> None:
    found = with_family(Memory(peak_rss_bytes=None, peak_rss_reason="x"), seen(900))
    assert found.peak_rss_anonymous_bytes is None
    assert found.peak_rss_split_reason
    assert found.tree_peak_rss_bytes == 900
    found = with_family(Memory(peak_rss_bytes=1), FamilyWatch())
    assert found.tree_peak_rss_bytes is None
    assert found.tree_reason
    assert found.peak_rss_split_reason


# --- control groups ----------------------------------------------------------------------------


def groups(root: Path, name: str = "/user.slice/app.scope") -> Path:
    """A root whose process is in the group ``name``; the folder of that group."""
    folder = root / "sys/fs/cgroup" / name.strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.procs").write_text("1\n", encoding="ascii")
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text(f"0::{name}\n", encoding="ascii")
    return folder


def kernel(path: Path) -> None:
    """Makes a group as a kernel does that counts memory in it."""
    path.mkdir()
    (path / "cgroup.procs").write_text("", encoding="ascii")
    (path / "memory.peak").write_text("123456\n", encoding="ascii")


def given(*folders: Path) -> Callable[[Path], bool]:
    return lambda folder: folder in folders


def test_a_group_beside_our_own_counts(tmp_path: Path) -> None:
    own = groups(tmp_path)
    (own / "memory.max").write_text("max\n", encoding="ascii")
    (own / "cpu.max").write_text("max 100000\n", encoding="ascii")
    (own / "cpuset.cpus").write_text("\n", encoding="ascii")
    left = own.parent / "fleetmark-memory-1"
    left.mkdir()
    found = make_group(tmp_path, kernel, given(own.parent))
    assert isinstance(found, TransientGroup)
    assert found.enter() is None
    (made,) = own.parent.glob("fleetmark-memory-*")
    assert made != left
    assert (own.parent / "cgroup.subtree_control").read_text(encoding="ascii") == "+memory"
    assert (made / "cgroup.procs").read_text(encoding="ascii").strip() == str(os.getpid())
    assert with_group(Memory(peak_rss_bytes=1), found).cgroup_peak_bytes == 123456


@pytest.mark.parametrize(
    ("name", "text"),
    [("memory.max", "1073741824"), ("cpu.max", "50000 100000"), ("cpuset.cpus", "0-1")],
)
def test_no_process_escapes_the_limits_of_its_group(tmp_path: Path, name: str, text: str) -> None:
    own = groups(tmp_path)
    (own / name).write_text(f"{text}\n", encoding="ascii")
    found = make_group(tmp_path, kernel, given(own.parent))
    assert isinstance(found, str)
    assert "would escape" in found
    assert list(own.parent.iterdir()) == [own]


def test_nothing_is_touched_that_was_not_given(tmp_path: Path) -> None:
    own = groups(tmp_path)
    for found in (make_group(tmp_path, kernel, given(own)), make_group(tmp_path)):
        assert isinstance(found, str)
        assert "Delegate=memory" in found
    assert list(own.parent.iterdir()) == [own]


def test_a_container_sees_its_group_as_the_root_and_nothing_above(tmp_path: Path) -> None:
    own = groups(tmp_path, "/")
    found = make_group(tmp_path, kernel, given(own, own.parent))
    assert isinstance(found, str)
    assert list((tmp_path / "sys/fs").iterdir()) == [own]


def test_refusals_and_old_kernels_are_told(tmp_path: Path) -> None:
    def refusing(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    own = groups(tmp_path)
    found = make_group(tmp_path, refusing, given(own.parent))
    assert found == "no control group could be made: Permission denied"
    found = make_group(tmp_path, os.mkdir, given(own.parent))
    assert "keeps no memory.peak" in str(found)
    assert list(own.parent.glob("fleetmark-memory-*")) == []


@pytest.mark.parametrize("text", ["", "4:memory:/x\n", "0::/../../etc\n", "0::/gone\n", "\0"])
def test_without_version_2_there_is_no_group(tmp_path: Path, text: str) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(text, encoding="ascii")
    assert own_group(tmp_path) is None
    assert make_group(tmp_path) == "this process is in no control group of version 2"


@pytest.mark.parametrize("text", ["", "max", "12 MiB"])
def test_a_peak_that_is_no_number_is_missing(tmp_path: Path, text: str) -> None:
    own = groups(tmp_path)
    group = make_group(tmp_path, kernel, given(own.parent))
    assert isinstance(group, TransientGroup)
    (made,) = own.parent.glob("fleetmark-memory-*")
    (made / "memory.peak").write_text(text, encoding="ascii")
    found = with_group(Memory(peak_rss_bytes=1), group)
    assert found.cgroup_peak_bytes is None
    assert "memory.peak cannot be read" in (found.cgroup_reason or "")


def test_who_may_not_move_says_so(tmp_path: Path) -> None:
    reason = TransientGroup(tmp_path / "gone").enter()
    assert "may not be moved" in (reason or "")
    found = with_group(
        Memory(peak_rss_bytes=1, cgroup_reason=reason), TransientGroup(tmp_path / "gone")
    )
    assert (found.cgroup_peak_bytes, found.cgroup_reason) == (None, reason)


# --- the accelerator ---------------------------------------------------------------------------


class Driver(ModuleType):
    """Two GPUs; ``listed``: (pid, bytes) on each, or ``None`` where it does not list."""

    class NVMLError(Exception):
        pass

    def __init__(self, *listed: list[tuple[int, int | None]] | None) -> None:
        super().__init__("pynvml")
        self._listed = listed
        self.open = 0

    def nvmlInit(self) -> None:  # noqa: N802
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self._listed)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        found = self._listed[handle]
        if found is None:
            raise self.NVMLError("Not Supported")
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in found]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        return []


def test_the_stand_in_names_only_what_the_real_module_has() -> None:
    pynvml = pytest.importorskip("pynvml")
    functions = [name for name in vars(Driver) if name.startswith("nvml")]
    assert functions
    assert [name for name in functions if not hasattr(pynvml, name)] == []
    assert {"pid", "usedGpuMemory"} <= set(dict(pynvml.c_nvmlProcessInfo_v3_t._fields_))


def test_a_process_is_summed_over_gpus() -> None:
    driver = Driver([(7, 100), (8, 50)], [(7, 30)])
    assert read_own_use(7, driver) == (130, None)
    assert driver.open == 0


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (Driver(None, None), "does not list the processes"),
        (Driver(), "does not list the processes"),
        (Driver([(8, 50)]), "lists no process 7"),
        (Driver([(7, None)]), "does not tell how much"),
        (Driver([(7, 5)], [(7, None)]), "does not tell how much"),
    ],
)
def test_what_the_driver_does_not_show_has_a_reason(driver: Driver, reason: str) -> None:
    found = read_own_use(7, driver)
    assert found.memory_bytes is None
    assert reason in (found.reason or "")
    assert driver.open == 0


def test_without_a_driver_the_reason_is_the_drivers() -> None:
    class Absent(Driver):
        def nvmlInit(self) -> None:  # noqa: N802
            raise self.NVMLError("Driver Not Loaded")

    assert "Driver Not Loaded" in (read_own_use(7, Absent()).reason or "")


JETSON = "nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234"
PI = "raspberrypi,5-model-b\0brcm,bcm2712"


@pytest.mark.parametrize(
    ("compatible", "integrated", "expected"),
    [
        (JETSON, None, True),
        (JETSON, True, True),
        # A card in a board that has a GPU of its own.
        (JETSON, False, False),
        ("", True, True),
        ("", False, False),
        ("", None, None),
        (PI, None, None),
    ],
)
def test_memory_is_unified_where_the_driver_or_the_board_says_so(
    compatible: str, integrated: bool | None, expected: bool | None
) -> None:
    assert is_unified(compatible, integrated) is expected


class Cuda:
    """The driver's library, as ``ctypes`` gives it."""

    def __init__(self, integrated: int, fails: str = "") -> None:
        self._integrated = integrated
        self._fails = fails
        self.asked: list[int] = []

    def _code(self, name: str) -> int:
        return 999 if name == self._fails else 0

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self._code("cuInit")

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
        self.asked.append(ordinal)
        device._obj.value = 100 + ordinal
        return self._code("cuDeviceGet")

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: c_int) -> int:  # noqa: N802
        assert attribute == 18
        assert device.value == 100 + self.asked[-1]
        value._obj.value = self._integrated
        return self._code("cuDeviceGetAttribute")


def test_the_driver_is_asked_for_the_gpu_that_was_used(tmp_path: Path) -> None:
    cuda = Cuda(integrated=1)
    assert read_unified("cuda:3", tmp_path, cuda) is True
    assert cuda.asked == [3]
    assert read_unified("cuda:0", tmp_path, Cuda(integrated=0)) is False


@pytest.mark.parametrize("fails", ["cuInit", "cuDeviceGet", "cuDeviceGetAttribute"])
def test_a_driver_that_fails_leaves_it_to_the_board(tmp_path: Path, fails: str) -> None:
    assert read_unified("cuda:0", tmp_path, Cuda(1, fails)) is None
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/compatible").write_text(JETSON + "\0", encoding="ascii")
    assert read_unified("cuda:0", tmp_path, Cuda(0, fails)) is True


# --- the pass ----------------------------------------------------------------------------------


def hold(size: int, seconds: float = 0.05) -> Callable[[], None]:
    def call() -> None:
        block = b"x" * size
        time.sleep(seconds)
        del block

    return call


def test_the_pass_sees_what_the_calls_hold_and_of_what_kind() -> None:
    found = measure_memory(FakeAdapter(hold(96 * MIB)), REQUEST)
    assert found.peak_rss_bytes is not None
    assert found.rss_before_load_bytes is not None
    assert found.peak_rss_bytes - found.rss_before_load_bytes > 80 * MIB
    assert found.peak_rss_split_reason is None
    assert found.peak_rss_anonymous_bytes is not None
    assert found.rss_anonymous_bytes is not None
    # The block was anonymous, and is gone at the end.
    assert found.peak_rss_anonymous_bytes - found.rss_anonymous_bytes > 80 * MIB
    assert found.tree_processes == 1
    assert found.tree_peak_rss_bytes == found.peak_rss_bytes
    assert found.accelerator_peak_allocated_bytes is None
    assert found.accelerator_reason == "ran on cpu"
    assert found.accelerator_process_reason == "ran on cpu"
    assert found.unified is None
    assert (found.cgroup_peak_bytes is None) == (found.cgroup_reason is not None)


CHILD = "import sys; block = b'x' * (96 << 20); print(flush=True); sys.stdin.read()"


def test_the_pass_sees_the_processes_that_a_model_starts() -> None:
    def call() -> None:
        with subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(0.1)

    found = measure_memory(FakeAdapter(call), REQUEST)
    assert found.tree_processes == 2
    assert found.tree_peak_rss_bytes is not None
    assert found.peak_rss_bytes is not None
    assert found.tree_peak_rss_bytes - found.peak_rss_bytes > 80 * MIB


class Gpu(FakeModel):
    accelerator = "cuda:0"
    peaks: tuple[int, int] | None = (300, 400)

    def accelerator_peak_bytes(self) -> tuple[int, int] | None:
        return self.peaks


class GpuAdapter(FakeAdapter):
    """Its process appears on the GPU when the model is loaded."""

    def __init__(self, driver: Driver, peaks: tuple[int, int] | None) -> None:
        super().__init__(lambda: None)
        self._driver = driver
        self._peaks = peaks

    def load(self, request: Any) -> FakeModel:
        listed = self._driver._listed[0]
        assert listed is not None
        listed.append((os.getpid(), 900))
        model = Gpu(self._call)
        model.peaks = self._peaks
        return model


@pytest.mark.parametrize("peaks", [(300, 400), None])
def test_the_pass_on_an_accelerator(peaks: tuple[int, int] | None, tmp_path: Path) -> None:
    driver = Driver([(1, 5)])
    request = REQUEST.model_copy(update={"accelerator": "auto"})
    found = measure_memory(
        GpuAdapter(driver, peaks), request, Place(tmp_path, driver, Cuda(integrated=1))
    )
    assert found.accelerator_process_bytes == 900
    assert found.accelerator_process_before_load_bytes is None
    assert found.accelerator_process_reason is None
    assert found.unified is True
    if peaks is None:
        assert found.accelerator_peak_allocated_bytes is None
        assert found.accelerator_reason == "the engine does not tell what it allocates"
    else:
        assert found.accelerator_peak_allocated_bytes == 300
        assert found.accelerator_peak_reserved_bytes == 400
        assert found.accelerator_reason is None


def test_an_engine_that_cannot_be_forked_is_not_watched() -> None:
    adapter = FakeAdapter(lambda: None)
    adapter.forkable = False
    found = call_in_child(lambda: measure_memory(adapter, REQUEST), Memory, "it")
    assert found.peak_rss_bytes is not None
    for reason in (found.peak_rss_split_reason, found.tree_reason, found.cgroup_reason):
        assert "cannot be forked" in (reason or "")


def test_a_kernel_that_cannot_reset_costs_the_peak_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(measure, "reset_peak", refuse)
    found = measure_memory(FakeAdapter(hold(MIB)), REQUEST)
    assert found.peak_rss_bytes is None
    assert "Permission denied" in (found.peak_rss_reason or "")
    assert found.peak_rss_split_reason == "the peak itself is not known"
    assert found.tree_peak_rss_bytes is not None
