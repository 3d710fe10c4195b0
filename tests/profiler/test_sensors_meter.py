"""External meters against a real HTTP server on this machine: what is no value is no reading."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from profiler.errors import InputError
from profiler.result import AbsentSource, EnergyScope
from profiler.sensors.base import Quantity, Reading
from profiler.sensors.meter import Meters, number_at, open_meters, parse_answer
from profiler.sensors.meter_config import (
    Meter,
    MeterKind,
    configured_meters,
    load_meters,
    read_credentials,
)
from profiler.sensors.meter_http import authorization, get
from profiler.sensors.site import Site

SHELLY = {
    "id": 0, "output": True, "apower": 42.5, "voltage": 230.1,
    "aenergy": {"total": 1234.567, "by_minute": [1.0, 2.0, 3.0]},
}  # fmt: skip
TASMOTA = {"StatusSNS": {"Time": "2026-01-01T00:00:00", "ENERGY": {"Power": 17, "Total": 3.25}}}

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Answers every GET with ``answer``, and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.answer: Answer = body({})
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers.get("Authorization")))
                outer.answer(self)

            def log_message(self, *_: object) -> None: ...

        class Http(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None: ...

        self._http = Http(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.block_on_close = False
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()


def send(handler: BaseHTTPRequestHandler, raw: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(raw)))
    handler.end_headers()
    handler.wfile.write(raw)


def body(document: object) -> Answer:
    return lambda handler: send(handler, json.dumps(document).encode())


def raw(text: bytes, status: int = 200, **headers: str) -> Answer:
    return lambda handler: send(handler, text, status, **headers)


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


def opened(*meters: Meter) -> Meters:
    outcome = open_meters(Site(meters=meters))
    assert isinstance(outcome, Meters), outcome
    return outcome


def read(*meters: Meter) -> list[Reading]:
    source = opened(*meters)
    readings = source.read()
    source.close()
    return readings


def shelly(server: Server, **more: object) -> Meter:
    return Meter.model_validate({"name": "plug", "kind": "shelly", "url": server.url} | more)


# --- the kinds ---------------------------------------------------------------------------------


def test_a_shelly_gives_watts_and_joules_of_the_wall(server: Server) -> None:
    server.answer = body(SHELLY)
    power, energy = read(shelly(server, switch=2))
    assert (power.channel, power.value) == ("meter/plug/power_watts", 42.5)
    assert (energy.channel, energy.value) == (
        "meter/plug/energy_joules", pytest.approx(1234.567 * 3600)
    )  # fmt: skip
    assert server.asked == [("/rpc/Switch.GetStatus?id=2", None)]
    source = opened(shelly(server))
    assert {c.scope for c in source.channels} == {EnergyScope.WALL}
    assert [c.resolution for c in source.channels] == [None, 3.6]
    source.close()


def test_a_tasmota_counts_in_kilowatt_hours(server: Server) -> None:
    server.answer = body(TASMOTA)
    power, energy = read(Meter(name="t", kind=MeterKind.TASMOTA, url=server.url))
    assert power.value == 17
    assert energy.value == pytest.approx(3.25 * 3.6e6)
    assert server.asked[0][0] == "/cm?cmnd=Status%208"


def test_any_json_with_paths(server: Server) -> None:
    server.answer = body({"data": [{"p": "12.5", "count": {"kwh": 2}}]})
    meter = Meter.model_validate(
        {
            "name": "lab", "kind": "json", "url": f"{server.url}/status?x=1",
            "power_path": "data.0.p", "energy_path": "data.0.count.kwh", "energy_unit": "kWh",
        }
    )  # fmt: skip
    assert [r.value for r in read(meter)] == [12.5, 7.2e6]
    assert server.asked[0][0] == "/status?x=1"


def test_a_meter_without_a_counter_has_no_channel_for_one(server: Server) -> None:
    meter = Meter.model_validate(
        {"name": "lab", "kind": "json", "url": server.url, "power_path": "p"}
    )
    source = opened(meter)
    source.close()
    assert [c.quantity for c in source.channels] == [Quantity.POWER]


# --- what is no value --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (raw(b"<html><body>Please log in</body></html>"), "no JSON"),
        (raw(b""), "no JSON"),
        (raw(b"\xff\xfe\x00\x01"), "no JSON"),
        (raw(b"[" * 100_000), "no JSON"),
        (raw(b'{"apower": NaN, "aenergy": {"total": 1}}'), "no JSON"),
        (raw(b'{"apower": Infinity, "aenergy": {"total": 1}}'), "no JSON"),
        (raw(b"{}", 401, WWW_Authenticate='Basic realm="x"'), "user and password"),
        (raw(b"{}", 500), "status 500"),
        (raw(b"{}", 302, Location="http://198.51.100.1/"), "status 302"),
        (raw(b" " * (2 << 20)), "1 MiB"),
        (body([]), "has no apower"),
        (body({"apower": None, "aenergy": None}), "apower"),
    ],
)
def test_an_answer_that_is_no_value_is_a_missing_reading(
    server: Server, answer: Answer, says: str
) -> None:
    server.answer = answer
    readings = read(shelly(server))
    assert [r.value for r in readings] == [None, None]
    assert says in (readings[0].error or "")
    assert len(server.asked) == 1


@pytest.mark.parametrize("value", [-1.0, 1e9, "nan", "inf", "1e999", True, [1], {"a": 1}, "", "x"])
def test_a_power_that_is_none_leaves_the_counter_alone(server: Server, value: object) -> None:
    server.answer = body({"apower": value, "aenergy": {"total": 10.0}})
    power, energy = read(shelly(server))
    assert power.value is None
    assert power.error
    assert energy.value == 36_000


@pytest.mark.parametrize("value", [-5, "nan", 1e308, False])
def test_a_counter_that_is_none_leaves_the_power_alone(server: Server, value: object) -> None:
    server.answer = body({"apower": 3.0, "aenergy": {"total": value}})
    power, energy = read(shelly(server))
    assert power.value == 3.0
    assert energy.value is None


def test_a_meter_that_does_not_answer_in_time_is_missing(server: Server) -> None:
    server.answer = lambda _: server.released.wait(30) and None
    readings = read(shelly(server, timeout_seconds=0.2))
    assert [r.value for r in readings] == [None, None]
    assert "TimeoutError" in (readings[0].error or "")


def test_a_meter_that_trickles_is_cut_off_although_each_byte_comes_in_time(
    server: Server,
) -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not server.released.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    server.answer = trickle
    readings = read(shelly(server, timeout_seconds=0.3))
    assert readings[0].value is None
    assert "TimeoutError" in (readings[0].error or "")


def test_a_meter_that_is_off_is_found_and_its_readings_are_missing() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        source = opened(Meter(name="off", kind=MeterKind.SHELLY, url=url))
        assert [r.value for r in source.read()] == [None, None]
        source.close()


def test_what_speaks_no_http_is_missing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            connection.sendall(b"SSH-2.0-x\r\n")
            connection.close()

        threading.Thread(target=greet, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        readings = read(Meter(name="ssh", kind=MeterKind.SHELLY, url=url))
    assert readings[0].value is None


def test_one_meter_that_fails_leaves_the_others(server: Server) -> None:
    server.answer = body(SHELLY)
    off = Meter(name="off", kind=MeterKind.SHELLY, url="http://127.0.0.1:1")
    readings = read(off, shelly(server))
    assert [r.value is None for r in readings] == [True, True, False, False]


# --- log-in ------------------------------------------------------------------------------------


def credentials(folder: Path, text: str = "admin:s3:cret", mode: int = 0o600) -> Path:
    file = folder / "plug.secret"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_a_password_is_given_when_it_is_asked_for_and_never_before(
    server: Server, tmp_path: Path
) -> None:
    def guarded(handler: BaseHTTPRequestHandler) -> None:
        if handler.headers.get("Authorization") != "Basic YWRtaW46czM6Y3JldA==":
            send(handler, b"", 401, WWW_Authenticate='Basic realm="plug"')
        else:
            send(handler, json.dumps(SHELLY).encode())

    server.answer = guarded
    power, _ = read(shelly(server, credentials_file=credentials(tmp_path)))
    assert power.value == 42.5
    assert [sent for _, sent in server.asked] == [None, "Basic YWRtaW46czM6Y3JldA=="]


def test_a_shelly_is_logged_in_to_by_digest(server: Server, tmp_path: Path) -> None:
    """As RFC 7616 computes it, here a second time."""

    def sha(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    def guarded(handler: BaseHTTPRequestHandler) -> None:
        given = handler.headers.get("Authorization") or ""
        parts = dict(re.findall(r'(\w+)="?([^",]+)"?', given))
        secret, what = sha("admin:shelly1:s3:cret"), sha(f"GET:{handler.path}")
        middle = f"{parts.get('nonce')}:{parts.get('nc')}:{parts.get('cnonce')}:auth"
        if parts.get("response") == sha(f"{secret}:{middle}:{what}"):
            send(handler, json.dumps(SHELLY).encode())
        else:
            challenge = 'Digest qop="auth", realm="shelly1", nonce="60dc59c6", algorithm=SHA-256'
            send(handler, b"", 401, WWW_Authenticate=challenge)

    server.answer = guarded
    meter = shelly(server, credentials_file=credentials(tmp_path))
    assert read(meter)[0].value == 42.5
    assert "s3:cret" not in str(server.asked)


def test_a_wrong_password_is_a_missing_reading_that_does_not_tell_it(
    server: Server, tmp_path: Path
) -> None:
    server.answer = raw(b"", 401, WWW_Authenticate='Basic realm="plug"')
    power, _ = read(shelly(server, credentials_file=credentials(tmp_path)))
    assert "PermissionError" in (power.error or "")
    assert "s3:cret" not in (power.error or "")


def test_tasmota_takes_them_in_its_command(server: Server, tmp_path: Path) -> None:
    server.answer = body(TASMOTA)
    file = credentials(tmp_path, "admin:a b&c")
    read(Meter(name="t", kind=MeterKind.TASMOTA, url=server.url, credentials_file=file))
    assert server.asked[0][0] == "/cm?cmnd=Status%208&user=admin&password=a%20b%26c"


@pytest.mark.parametrize("challenge", ["", "Negotiate", "Digest algorithm=MD5-sess, qop=auth"])
def test_a_log_in_of_another_kind_is_refused(challenge: str) -> None:
    with pytest.raises(PermissionError, match="the meter asks for a"):
        authorization(challenge, "http://plug/", ("a", "b"))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_credentials_that_others_may_read_are_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(InputError, match=r"credentials_file.*can be read by others.*chmod 600"):
        read_credentials(credentials(tmp_path, mode=mode))


@pytest.mark.parametrize("text", ["", "nocolon", ":s3cret", "a:b\nc:d"])
def test_credentials_that_are_none_are_refused_without_showing_them(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(InputError, match="is not user:password") as refused:
        read_credentials(credentials(tmp_path, text))
    assert not text or text not in str(refused.value)


def test_credentials_that_vanished_make_the_source_absent(server: Server, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    absent = open_meters(Site(meters=(shelly(server, credentials_file=gone),)))
    assert isinstance(absent, AbsentSource)
    assert "cannot be read" in absent.reason


# --- asked how often ---------------------------------------------------------------------------


def test_a_meter_is_not_asked_more_often_than_it_has_a_new_value(server: Server) -> None:
    server.answer = body(SHELLY)
    now = [100.0]
    site = Site(meters=(shelly(server, update_period_seconds=5),), clock=lambda: now[0])
    source = open_meters(site)
    assert isinstance(source, Meters)
    first = source.read()
    now[0] = 104.9
    assert source.read() == first
    assert len(server.asked) == 1
    now[0] = 105.0
    source.read()
    source.close()
    assert len(server.asked) == 2


def test_in_the_background_nobody_waits_and_no_reading_is_handed_out_twice(
    server: Server,
) -> None:
    held = threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        held.wait(20)
        send(handler, json.dumps(SHELLY).encode())

    server.answer = slow
    meter = shelly(server, update_period_seconds=0.1, timeout_seconds=20)
    source = open_meters(Site(meters=(meter,), background=True))
    assert isinstance(source, Meters)
    # The meter is held: were this to wait for it, the event below would never be set.
    assert source.read() == []
    held.set()
    found: list[Reading] = []
    pause = threading.Event()
    while len(found) < 4:
        found += source.read({Quantity.POWER})
        pause.wait(0.01)
    energies = source.read({Quantity.ENERGY})
    source.close()
    assert len({r.seconds for r in found}) == len(found)
    assert {r.value for r in found} == {42.5}
    assert len(energies) >= 4


# --- configuration -----------------------------------------------------------------------------


def test_a_file_in_toml_or_json(tmp_path: Path) -> None:
    toml = tmp_path / "meters.toml"
    toml.write_text('[[meters]]\nname = "plug"\nkind = "shelly"\nurl = "http://192.0.2.7/"\n')
    (meter,) = load_meters(toml)
    assert (meter.kind, meter.url, meter.timeout_seconds) == (
        MeterKind.SHELLY, "http://192.0.2.7", 2.0
    )  # fmt: skip
    as_json = tmp_path / "meters.json"
    as_json.write_text(
        '{"meters": [{"name": "plug", "kind": "shelly", "url": "http://192.0.2.7"}]}'
    )
    assert load_meters(as_json) == (meter,)


def test_credentials_are_looked_for_beside_the_file_that_names_them(tmp_path: Path) -> None:
    credentials(tmp_path)
    file = tmp_path / "meters.toml"
    file.write_text(
        '[[meters]]\nname="p"\nkind="shelly"\nurl="http://192.0.2.7"\n'
        'credentials_file="plug.secret"\n'
    )
    assert load_meters(file)[0].credentials_file == tmp_path / "plug.secret"
    (tmp_path / "plug.secret").chmod(0o644)
    with pytest.raises(InputError, match="can be read by others"):
        load_meters(file)


@pytest.mark.parametrize(
    ("entry", "field", "problem"),
    [
        ('kind="shelly"\nurl="http://x"', "meters.0.name", "required"),
        ('name="a"\nkind="fritz"\nurl="http://x"', "meters.0.kind", "shelly"),
        ('name="a"\nkind="shelly"\nurl="ftp://x"', "meters.0.url", "no http"),
        ('name="a"\nkind="shelly"\nurl="http://u:p@x"', "meters.0.url", "credentials_file"),
        ('name="a"\nkind="shelly"\nurl="http://x:99999"', "meters.0.url", "ort"),
        ('name="a/b"\nkind="shelly"\nurl="http://x"', "meters.0.name", "pattern"),
        ('name="a"\nkind="json"\nurl="http://x"', "meters.0", "power_path"),
        ('name="a"\nkind="json"\nurl="http://x"\nenergy_path="e"', "meters.0", "energy_unit"),
        ('name="a"\nkind="shelly"\nurl="http://x"\npower_path="p"', "meters.0", "no paths"),
        ('name="a"\nkind="shelly"\nurl="http://x"\ntimeout_seconds=0', "timeout", "greater"),
        ('name="a"\nkind="shelly"\nurl="http://x"\nextra=1', "extra", "not permitted"),
    ],
)
def test_a_refused_file_names_field_value_and_remedy(
    tmp_path: Path, entry: str, field: str, problem: str
) -> None:
    file = tmp_path / "meters.toml"
    file.write_text(f"[[meters]]\n{entry}\n")
    with pytest.raises(InputError) as refused:
        load_meters(file)
    assert field in refused.value.field
    assert problem in str(refused.value)
    assert "docs/sensors.md" in refused.value.remedy
    # A password in a URL must not come out again.
    assert "u:p@" not in str(refused.value)


@pytest.mark.parametrize("text", ["[[meters", "\xff", "meters = 3"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "meters.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"is no TOML|is refused"):
        load_meters(file)


def test_two_meters_of_one_name_would_overwrite_each_other(tmp_path: Path) -> None:
    file = tmp_path / "meters.toml"
    file.write_text('[[meters]]\nname="a"\nkind="shelly"\nurl="http://x"\n' * 2)
    with pytest.raises(InputError, match="one name"):
        load_meters(file)


def test_the_variable_names_the_file_where_no_option_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLEETMARK_METERS", raising=False)
    assert configured_meters(None) == ()
    monkeypatch.setenv("FLEETMARK_METERS", str(tmp_path / "none.toml"))
    with pytest.raises(InputError, match=r"FLEETMARK_METERS.*cannot be read"):
        configured_meters(None)


# --- small parts -------------------------------------------------------------------------------


def test_without_a_meter_the_source_is_absent_and_says_how_to_name_one() -> None:
    absent = open_meters(Site())
    assert isinstance(absent, AbsentSource)
    assert "--meters" in (absent.remedy or "")
    assert absent.expected is False


@pytest.mark.parametrize("path", ["a.b", "a.0", "b", "a.-1", "", "."])
def test_a_path_that_leads_nowhere_is_an_error(path: str) -> None:
    with pytest.raises(ValueError, match="has no"):
        number_at({"a": []}, path)


def test_a_document_may_be_a_number_alone_in_a_list() -> None:
    assert number_at(parse_answer(b"[1, 2.5]"), "1") == 2.5


def test_a_deadline_that_has_passed_is_a_time_out() -> None:
    with pytest.raises(TimeoutError):
        get("http://127.0.0.1:1", -1.0)
