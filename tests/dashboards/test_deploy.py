"""What is deployed: the compose file, the image's recipe, Grafana's provisioning, the secrets.

There is no Docker engine where these run, and no registry of images. What can be checked without
is; that the containers start, and that the tags of the images exist, is not.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.cli.main import run
from dashboards import frame, shipped
from tests.tools import need_npm_packages, need_program, need_root

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MANIFEST = Path(__file__).with_name("package.json")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LASTING = sorted(set(SERVICES) - {"secrets"})
SECRETS = {"agent": "agent-secret", "prometheus": "prometheus-secret", "grafana": "grafana-secret"}


def mounts(service: str) -> dict[str, str]:
    """Inside → outside."""
    return {
        inside: outside
        for outside, inside, *_ in (each.split(":") for each in SERVICES[service]["volumes"])
    }


def provisioned(name: str) -> Any:
    return yaml.safe_load(
        (DEPLOY / "grafana" / "provisioning" / name / "fleetmark.yml").read_text()
    )


# --- what linters say --------------------------------------------------------------------------


def said(*command: str | Path, given: str | None = None) -> tuple[int, str]:
    """Exit status and all that is printed."""
    done = subprocess.run(
        [str(part) for part in command],
        input=given, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def compose(text: str) -> tuple[int, str]:
    """What ``docker compose config`` says of a compose file: the plugin, or Debian's program."""
    docker = shutil.which("docker")
    if docker and not said(docker, "compose", "version")[0]:
        program: list[str | Path] = [docker, "compose"]
    else:
        program = [need_program("docker-compose")]
        # Version 1.29 is older than this key.
        text = re.sub("^name: .*$", "", text, flags=re.MULTILINE)
    return said(*program, "--project-directory", DEPLOY, "-f", "-", "config", "-q", given=text)


@pytest.fixture(scope="module")
def linters(pytestconfig: pytest.Config) -> Path:
    """The folder of programs from npm."""
    assert pytestconfig.cache is not None
    packages = need_npm_packages(MANIFEST, pytestconfig.cache.mkdir("grafana-schema"))
    return packages / "node_modules" / ".bin"


def test_docker_compose_takes_it() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    assert compose(text) == (0, "")
    status, words = compose(text.replace("condition: service_healthy", "condition: well"))
    assert status
    assert "condition" in words


# Orders are ours; `image` beside `build` names what is built; and the linter does not see through
# ${BIND_ADDRESS:-…}, which a test below does.
NOT_OURS = (
    "service-keys-order", "services-alphabetical-order", "service-dependencies-alphabetical-order",
    "top-level-properties-order", "no-build-and-image", "no-unbound-port-interfaces",
    "require-quotes-in-ports",
)  # fmt: skip


def test_the_compose_files_linter_has_nothing_to_say(linters: Path, tmp_path: Path) -> None:
    """It has the schema of today's Compose, and looks for what is unwise."""
    config = tmp_path / "dclint.json"
    config.write_text(json.dumps({"rules": dict.fromkeys(NOT_OURS, 0)}))
    program = (linters / "dclint", "-c", config, "--max-warnings", "0")
    assert said(*program, DEPLOY / "compose.yaml")[0] == 0, said(*program, DEPLOY / "compose.yaml")
    faulty = tmp_path / "compose.yaml"
    for old, new in (("restart:", "restarts:"), ("prometheus:v3.5.0", "prometheus:latest")):
        faulty.write_text((DEPLOY / "compose.yaml").read_text().replace(old, new))
        assert said(*program, faulty)[0] != 0, new


def test_the_recipes_linter_has_nothing_to_say(linters: Path, tmp_path: Path) -> None:
    program = (linters / "dockerfile-utils", "lint")
    assert said(*program, DEPLOY / "Dockerfile") == (0, "")
    faulty = tmp_path / "Dockerfile"
    faulty.write_text((DEPLOY / "Dockerfile").read_text().replace("COPY", "COPPY"))
    assert said(*program, faulty)[0] != 0


def test_yaml_and_shell_have_no_pitfalls() -> None:
    rules = "{extends: default, rules: {line-length: {max: 130}, document-start: disable}}"
    cases = Path(__file__).with_name("alerts.test.yml")
    yamllint = need_program("yamllint")
    assert said(yamllint, "--strict", "-d", rules, DEPLOY, cases) == (0, "")
    assert said(yamllint, "--strict", "-d", rules, "-", given="a: 1\na: 2\n")[0] != 0
    scripts = (DEPLOY / "secrets.sh", ROOT / "tests" / "debian-packages.sh")
    assert said(need_program("shellcheck"), *scripts) == (0, "")


# --- what it says ------------------------------------------------------------------------------


def test_images_are_of_one_version_and_services_say_how_they_are() -> None:
    assert LASTING == ["agent", "coordinator", "grafana", "prometheus"]
    for name, service in SERVICES.items():
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*", service["image"]), name
    for name in LASTING:
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
        assert SERVICES[name]["restart"] == "unless-stopped"
    base = re.search(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert base
    assert base[1] == SERVICES["secrets"]["image"]


def test_what_waits_waits_for_what_there_is() -> None:
    for name, service in SERVICES.items():
        for other, condition in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other == "secrets" else "service_healthy"
            assert condition == {"condition": wanted}, name
            assert wanted != "service_healthy" or "healthcheck" in SERVICES[other]


def test_volumes_are_declared_and_files_are_there() -> None:
    used = set()
    for name in SERVICES:
        for outside in mounts(name).values():
            if outside.startswith("."):
                assert (DEPLOY / outside).exists(), outside
            else:
                used.add(outside)
    assert used == set(COMPOSE["volumes"])


def test_each_sees_its_own_secret_and_no_other() -> None:
    """And none is in the environment or on a command line."""
    for name in LASTING:
        secret = [each for each in mounts(name).values() if each.endswith("-secret")]
        assert secret == ([SECRETS[name]] if name in SECRETS else []), name
        assert "coordinator-data" not in mounts(name).values() or name == "coordinator"
        for key, text in SERVICES[name].get("environment", {}).items():
            assert key.endswith("__FILE") or not re.search("PASSWORD|TOKEN|SECRET", key), text


def test_only_this_machine_reaches_it_unless_told() -> None:
    for name in LASTING:
        for port in SERVICES[name].get("ports", ()):
            assert port.startswith("${BIND_ADDRESS:-127.0.0.1}:"), name


@pytest.mark.parametrize("name", ["coordinator", "agent"])
def test_options_are_those_of_the_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = SERVICES[name]["command"]
    assert run([command[0], "--help"]) == 0
    said = capsys.readouterr().out
    for option in command[1:]:
        assert not option.startswith("--") or option in said


def test_prometheus_and_the_secrets_meet() -> None:
    inside = {outside: path for path, outside in mounts("prometheus").items()}
    assert f"{inside['prometheus-secret']}/metrics.token" in (DEPLOY / "prometheus.yml").read_text()
    assert inside["./alerts.yml"] == str(Path(inside["./prometheus.yml"]).parent / "alerts.yml")
    assert "coordinator:8470" in (DEPLOY / "prometheus.yml").read_text()


def test_grafana_finds_datasource_and_boards() -> None:
    (datasource,) = provisioned("datasources")["datasources"]
    assert datasource["uid"] == shipped.DATASOURCE_UID
    assert datasource["url"] == "http://prometheus:9090"
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    assert datasource["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]
    # What `${coordinator}` is on the boards, a datasource has to be told.
    (exemplars,) = datasource["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplars["name"] == "run_id"
    assert exemplars["url"] == f"{frame.COORDINATOR_URL}/#/runs/$${{__value.raw}}"
    assert "--enable-feature=exemplar-storage" in SERVICES["prometheus"]["command"]
    (provider,) = provisioned("dashboards")["providers"]
    assert mounts("grafana")[provider["options"]["path"]] == "../dashboards/json"
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (shipped.DIRECTORY / Path(home).name).exists()


def test_the_image_is_made_of_what_is_there() -> None:
    recipe = (DEPLOY / "Dockerfile").read_text()
    allowed = (ROOT / ".dockerignore").read_text()
    for line in re.findall(r"^COPY (.+) \S+$", recipe, re.MULTILINE):
        for name in line.split():
            assert (ROOT / name).exists()
            assert f"\n!{name}\n" in allowed


def test_secrets_are_made_once_and_each_is_private(tmp_path: Path) -> None:
    need_root("files cannot be given to other users")
    for name in ("coordinator", "agent-data", "agent", "prometheus", "grafana"):
        (tmp_path / name).mkdir()
    made = []
    for _ in range(2):
        subprocess.run(["sh", str(DEPLOY / "secrets.sh"), str(tmp_path)], check=True)
        files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
        made.append({path: path.read_text() for path in files})
    assert made[0] == made[1]
    found = {
        str(path.relative_to(tmp_path)): (path.stat().st_uid, path.stat().st_mode & 0o777)
        for path in made[0]
    }
    assert found == {
        "coordinator/tokens/agent.token": (10001, 0o600),
        "coordinator/tokens/metrics.token": (10001, 0o600),
        "agent/agent.token": (10001, 0o600),
        "prometheus/metrics.token": (65534, 0o600),
        "grafana/admin.password": (472, 0o600),
    }
    texts = {str(path.relative_to(tmp_path)): text for path, text in made[0].items()}
    assert texts["agent/agent.token"] == texts["coordinator/tokens/agent.token"]
    assert len(set(texts.values())) == 3
    assert all(re.fullmatch(r"[\w-]{43}", text) for text in texts.values())
