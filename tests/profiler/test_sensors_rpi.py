"""Raspberry Pi: texts of vcgencmd, then whole boards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from profiler.result import EnergyQuality, EnergyScope
from profiler.sensors.rpi import open_rpi, parse_pmic, parse_throttled, throttled_values
from profiler.sensors.site import Site
from tests.profiler.sensor_trees import TREES, absent, channels, errors, found, values, write

PAIR = "  VDD_CORE_A current(7)=0.5A\n  VDD_CORE_V volt(15)=0.8V\n  EXT5V_V volt(24)=5.1V\n"
PI5 = {"proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0"}
PI4 = {"proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0"}


def test_watts_are_of_pairs_and_a_voltage_alone_is_none() -> None:
    rails = parse_pmic(PAIR)
    assert rails.watts == {"VDD_CORE": pytest.approx(0.4)}
    assert rails.volts == {"EXT5V": 5.1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "VCHI initialization failed",
        "VDD_CORE_A current(7)=0.5A\n",
        "VDD_CORE_A current(7)=nanA\nVDD_CORE_V volt(15)=0.8V\n",
        "VDD_CORE_A current(7)=-0.5A\nVDD_CORE_V volt(15)=0.8V\n",
        PAIR + 'error=1 error_msg="Command not registered"\n',
    ],
)
def test_what_is_no_list_of_rails_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="pmic_read_adc"):
        parse_pmic(text)


@pytest.mark.parametrize(
    ("text", "word"), [("throttled=0x50005\n", 0x50005), ("e0008\n", 0xE0008), ("0x0", 0)]
)
def test_the_word_of_vcgencmd_and_of_the_kernel(text: str, word: int) -> None:
    assert parse_throttled(text) == word


@pytest.mark.parametrize("text", ["", "throttled=", "throttled=0xg", "throttled=0x123456789", "-1"])
def test_a_word_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="get_throttled"):
        parse_throttled(text)


def test_bits_0_to_3_are_now_and_16_to_19_since_boot() -> None:
    assert throttled_values(0x50005) == [1, 0, 1, 0, 1, 0, 1, 0]
    assert throttled_values(0x80002) == [0, 1, 0, 0, 0, 0, 0, 1]


def test_a_pi_5_has_an_estimate_of_the_board_and_rails_without_a_scope() -> None:
    found_channels = channels(open_rpi(Site.at(TREES / "raspberry-pi-5")))
    total = found_channels["pmic-total/power_watts"]
    assert (total.scope, total.quality) == (EnergyScope.BOARD, EnergyQuality.ESTIMATE)
    assert "USB" in (total.note or "")
    rails = [c for key, c in found_channels.items() if key.endswith("power_watts")]
    assert len(rails) == 13
    assert {c.scope for c in rails} == {EnergyScope.BOARD, None}


def test_the_total_is_the_sum_of_the_rails() -> None:
    readings = values(open_rpi(Site.at(TREES / "raspberry-pi-5")))
    watts = {k: v for k, v in readings.items() if k.endswith("power_watts") and v is not None}
    total = watts.pop("pmic-total/power_watts")
    assert total == pytest.approx(sum(watts.values()))
    assert readings["EXT5V/voltage_volts"] == pytest.approx(5.13398)


def test_a_pi_4_tells_throttling_and_that_it_needs_a_meter() -> None:
    source = found(open_rpi(Site.at(TREES / "raspberry-pi-4")))
    keys = {r.channel: r.value for r in source.read()}
    source.close()
    assert keys["rpi/soft-temperature-limit/throttled_flag"] == 1
    assert keys["rpi/under-voltage/events_total"] == 0
    assert not [key for key in keys if "power" in key]
    (lacking,) = source.missing  # type: ignore[attr-defined]
    assert "has no power sensor" in lacking.reason
    assert "--meters" in (lacking.remedy or "")


def test_a_command_that_fails_later_is_a_missing_reading(tmp_path: Path) -> None:
    answers = {"pmic_read_adc": [PAIR, ""], "get_throttled": ["throttled=0x0"] * 2}

    def run(words: Sequence[str]) -> str:
        left = answers[words[1]]
        return left.pop(0) if left else "broken"

    source = open_rpi(Site(root=write(tmp_path, PI5), recorded=True, run=run))
    assert set(errors(source)) == {
        "pmic-total/power_watts", "VDD_CORE/power_watts", "EXT5V/voltage_volts"
    }  # fmt: skip


def test_rails_that_change_are_not_mixed_up(tmp_path: Path) -> None:
    texts = [PAIR, PAIR.replace("VDD_CORE", "3V3_SYS")]

    def run(words: Sequence[str]) -> str:
        return texts.pop(0) if words[1] == "pmic_read_adc" else "throttled=0x0"

    source = open_rpi(Site(root=write(tmp_path, PI5), recorded=True, run=run))
    assert "other rails" in str(errors(source)["pmic-total/power_watts"])


def test_the_firmware_is_asked_once_a_second_at_most(tmp_path: Path) -> None:
    now, asked = [0.0], []

    def run(words: Sequence[str]) -> str:
        asked.append(words[1])
        return PAIR if words[1] == "pmic_read_adc" else "throttled=0x0"

    root = write(tmp_path, PI5)
    source = found(open_rpi(Site(root=root, recorded=True, run=run, clock=lambda: now[0])))
    asked.clear()
    for tick in range(25):
        now[0] = tick / 10
        source.read()
    source.close()
    assert asked.count("pmic_read_adc") == 3


def test_without_vcgencmd_both_are_absent_with_the_package_that_brings_it(tmp_path: Path) -> None:
    lacking = absent(open_rpi(Site.at(write(tmp_path, PI5))))
    assert "does not answer" in lacking.reason
    assert "raspi-utils" in (lacking.remedy or "")


def test_elsewhere_nobody_misses_it() -> None:
    assert absent(open_rpi(Site.at(TREES / "intel-desktop"))).expected is False
