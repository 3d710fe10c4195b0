"""The parts of the benchmarks that compute. What they measure is asserted nowhere."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from profiler.errors import FleetmarkError
from profiler.overhead.plan import Round, Subject
from profiler.result import RepetitionFigures
from tests.benchmarks import context, perturbation, processes
from tests.benchmarks.ratios import bootstrap_median, geometric_means, per_round
from tests.benchmarks.report import (
    Section,
    Table,
    machine_line,
    markdown,
    markdown_table,
    median_and_range,
)
from tests.benchmarks.submit_latency import PARTS, Stamps, parts
from tests.builders import make_latency, make_result

# --- ratios ----------------------------------------------------------------------------------


def test_a_round_that_is_slow_as_a_whole_changes_no_ratio() -> None:
    assert per_round([2.0, 20.0, 2.0], [1.0, 10.0, 1.0]) == [2.0, 2.0, 2.0]


def test_rounds_are_paired() -> None:
    with pytest.raises(ValueError, match="shorter"):
        per_round([1.0, 2.0], [1.0])


def test_the_mean_over_models_is_geometric() -> None:
    assert geometric_means([2.0, 1.0], [0.5, 4.0]) == pytest.approx([1.0, 2.0])


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Over simulated benchmarks: too narrow an interval fails, and so does too wide a one."""
    random = np.random.default_rng(1)
    held, widths = 0, []
    for _ in range(300):
        found = bootstrap_median(random.lognormal(0.0, 0.1, size=12), resamples=500)
        assert found.low <= found.value <= found.high
        held += found.low <= 1.0 <= found.high
        widths.append(found.high - found.low)
    # 12 rounds are few: the bootstrap of a median then holds in about 93 % of cases.
    assert 0.88 <= held / 300 <= 0.985
    assert 0.05 <= float(np.median(widths)) <= 0.2


def test_a_difference_outside_the_noise_is_told_from_one() -> None:
    random = np.random.default_rng(2)
    slower = bootstrap_median(list(1.05 * random.lognormal(0.0, 0.01, size=8)))
    same = bootstrap_median(list(random.lognormal(0.0, 0.01, size=8)))
    assert slower.low > 1.0
    assert same.low < 1.0 < same.high


def test_equal_ratios_have_no_width() -> None:
    found = bootstrap_median([1.5] * 8)
    assert (found.low, found.value, found.high) == (1.5, 1.5, 1.5)


# --- perturbation ----------------------------------------------------------------------------


def rounds_of(subject: Subject, slower: float) -> list[Round]:
    jitter = (1.0, 1.001, 0.999, 1.0005, 0.9995)
    return [
        Round(subject=subject, still=(0.005, 0.005), running=(0.005 * j * slower, 0.005 * j))
        for j in (*jitter, *jitter)
    ]


def test_the_cost_of_the_sampler_stands_beside_the_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = [
        *rounds_of(Subject.CONTROL, 1.0),
        *rounds_of(Subject.SAMPLER, 1.0),
        *rounds_of(Subject.RECORDED, 1.1),
    ]
    monkeypatch.setattr(perturbation, "_measured", lambda *_: (3, measured))
    monkeypatch.setattr(
        perturbation, "TREE", Path(__file__).parent / "fixtures" / "sysfs" / "intel-desktop"
    )
    section = perturbation.run(context.Context(True, tmp_path, ExitStack()))
    assert "batch size 3" in section.text
    assert "5.00 ms at rest" in section.text
    own, jetson, control = section.tables[0].rows
    assert (own[0], own[1][1:], own[-1]) == ("sampler of this machine", "0.00%", "yes")
    assert (jetson[1], jetson[-1]) == ("+5.00%", "no")
    assert (control[0], control[1][1:]) == ("control", "0.00%")


@pytest.mark.parametrize(("p50", "batch_size"), [(0.0018, 3), (0.0047, 1), (0.2, 1)])
def test_the_batch_brings_a_call_to_about_5_ms(p50: float, batch_size: int) -> None:
    assert perturbation.fitting(make_result(latency=make_latency(p50))) == batch_size


def test_a_tree_without_sensors_measures_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perturbation, "TREE", tmp_path)
    with pytest.raises(FleetmarkError, match="holds no sensor"):
        perturbation.run(context.Context(True, tmp_path, ExitStack()))


# --- tables ----------------------------------------------------------------------------------


def test_a_table_lines_up() -> None:
    table = markdown_table(("what", "ns"), [("a loop", "1"), ("b", "1234")])
    assert table.splitlines() == [
        "| what   |   ns |",
        "| ------ | ---: |",
        "| a loop |    1 |",
        "| b      | 1234 |",
    ]


def test_a_cell_cannot_break_its_table() -> None:
    (row,) = markdown_table(("a", "b"), [("x|y", "two\nlines")]).splitlines()[2:]
    assert row == "| x\\|y | two lines |"


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2 columns, but a row of 1"):
        markdown_table(("a", "b"), [("x",)])


def test_a_section_names_its_command() -> None:
    section = Section("name", "What was done.", [Table("Title", ("a", "b"), [("x", "1")])])
    text = markdown(section, "python -m tests.benchmarks name")
    assert text.startswith("## name\n\n`python -m tests.benchmarks name`\n\nWhat was done.\n\n")
    assert "**Title**\n\n| a   |   b |" in text


def test_median_and_range() -> None:
    assert median_and_range([0.002, 0.001, 0.004]) == "2.00 ms (1.00 ms – 4.00 ms)"


def test_the_machine_in_one_line() -> None:
    environment = make_result().environment
    assert environment is not None
    known = environment.model_copy(
        update={
            "cpu_model": "Cortex-A76",
            "cpu_count": 4,
            "cpu_affinity": (0, 1),
            "packages": {"torch": "2.1.0", "ray": "2.50.0"},
            "load_average_1m": None,
            "cpu_pressure_avg10": 12.5,
        }
    )
    line = machine_line(known)
    assert line.startswith("Cortex-A76")
    assert "2 of 4 CPUs" in line
    assert "ray 2.50.0, torch 2.1.0" in line
    assert "load unknown, CPU pressure 12.5 %" in line
    assert "\n" not in line


# --- /proc -----------------------------------------------------------------------------------

ROLLUP = """\
55d0c3a00000-7ffd1c5f2000 ---p 00000000 00:00 0                          [rollup]
Rss:              137216 kB
Pss:               77520 kB
Pss_Dirty:         61000 kB
Pss_Anon:          60988 kB
Shared_Clean:      52344 kB
SwapPss:               0 kB
"""


def test_smaps_rollup() -> None:
    found = processes.parse_smaps_rollup(ROLLUP)
    assert (found.rss_bytes, found.pss_bytes) == (137216 * 1024, 77520 * 1024)


def test_an_empty_rollup_is_no_process_without_memory() -> None:
    with pytest.raises(ValueError, match="no Rss and Pss"):
        processes.parse_smaps_rollup("")


def test_cpu_ticks_of_a_process_with_a_strange_name() -> None:
    stat = "42 (a) S 1 (b) S 1 42 42 0 -1 4194560 100 0 0 0 70 30 5 6 20 0 1 0 999 1 1"
    assert processes.parse_cpu_ticks(stat) == 100


def test_own_cpu_ticks_are_those_that_the_kernel_tells_elsewhere() -> None:
    import os

    ticks = processes.parse_cpu_ticks(Path("/proc/self/stat").read_text())
    times = os.times()
    told = (times.user + times.system) * os.sysconf("SC_CLK_TCK")
    assert ticks == pytest.approx(told, abs=3)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("/x/bin/python -m agents.cli.main agent --name a ", "fleetmark agent (daemon)"),
        ("/x/bin/python -m agents.cli.main coordinator ", "fleetmark coordinator"),
        ("/x/bin/python /x/bin/ray start --block ", "ray start"),
        ("/x/ray/core/src/ray/raylet/raylet --raylet_socket_name=/s ", "raylet"),
        ("ray::DeviceAgent ", "DeviceAgent (actor)"),
        ("ray::DashboardAgent ", "dashboard agent"),
        ("/usr/bin/other --flag ", "other"),
        ("", "(kernel or gone)"),
    ],
)
def test_names_of_processes(line: str, name: str) -> None:
    assert processes.name_of(line) == name


def test_a_process_that_comes_meanwhile_is_counted_and_not_measured() -> None:
    import os

    started: list[subprocess.Popen[bytes]] = []

    def pids() -> list[int]:
        found = [os.getpid(), *(child.pid for child in started)]
        if not started:
            started.append(subprocess.Popen(["sleep", "60"]))
        return found

    try:
        idle = processes.watch(pids, 0.1)
    finally:
        for child in started:
            child.kill()
            child.wait()
    assert [cost.pid for cost in idle.costs] == [os.getpid()]
    assert idle.changed == 1
    assert idle.costs[0].rss_bytes >= idle.costs[0].pss_bytes > 0


# --- submit_latency --------------------------------------------------------------------------

COLD = RepetitionFigures(
    index=0,
    load_seconds=0.5,
    first_inference_seconds=0.25,
    warmup_iterations=10,
    warmup_seconds=1.0,
    iterations=10,
    median_seconds=0.01,
)


@pytest.mark.parametrize("convert", [{}, {"convert": 0.125}])
def test_the_parts_add_up_to_the_whole(convert: dict[str, float]) -> None:
    result = make_result(
        phases_seconds={"start": 1.0, "import": 2.0, "memory": 9.0} | convert,
        repetitions=(COLD,),
    )
    stamps = Stamps(
        asked=100.0, answered=100.3, stored=100.25, assigned=100.5, started=102.0,
        warmup=105.5, timed=106.75,
    )  # fmt: skip
    found = parts(stamps, result)
    assert tuple(found) == PARTS
    assert sum(found.values()) == pytest.approx(6.75)
    assert found["until the agent starts the worker"] == pytest.approx(0.5)
    assert found["repetition: fork, calibration"] == pytest.approx(
        0.75 - convert.get("convert", 0.0)
    )
    assert found["warm-up"] == pytest.approx(1.25)


# --- the command -----------------------------------------------------------------------------


def test_an_unknown_name_is_told_with_those_that_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "nonsense"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 2
    assert "there is no 'nonsense'" in done.stderr
    assert "device_footprint" in done.stderr


# --- taking turns ----------------------------------------------------------------------------


def is_free(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_turn_is_held_while_something_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "turns"
    free_in_pause = []
    monkeypatch.setattr(context.time, "sleep", lambda _: free_in_pause.append(is_free(path)))
    mine = context.Context(quick=True, directory=tmp_path, stack=ExitStack(), turns=path)
    with mine.turn():
        assert not is_free(path)
    assert free_in_pause == [True]
    with pytest.raises(ZeroDivisionError), mine.turn():
        _ = 1 / 0
    assert is_free(path)


def test_without_a_file_nothing_is_locked(tmp_path: Path) -> None:
    with context.Context(quick=True, directory=tmp_path, stack=ExitStack()).turn():
        assert list(tmp_path.iterdir()) == []
