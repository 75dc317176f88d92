"""The compose file: valid, the start order of its services, and the restrictions of every container."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml
from support.deployment_files import (
    COMPOSE_FILE,
    SECRETS,
    VariableMissing,
    documented_variables,
    interpolate,
    read_compose,
    references,
    services,
)

from alpha_umi.serving import drain
from alpha_umi.serving.settings import PORTS, RoleSettings
from alpha_umi.serving.weights.adapters import FAMILY
from alpha_umi.web import server
from orchestrator.runs.manager import STOP_GRACE_S
from orchestrator.settings import PREFIX, RENAMED, OrchestratorSettings

ROLES = ("planner", "caller", "summarizer")
GPU = {"planner", "caller", "summarizer", "orchestrator"}
CPU = {"planner-cpu", "caller-cpu", "summarizer-cpu", "orchestrator-cpu"}
SHARED = {"roles", "orchestrator-shared"}
SINGLE = {"backbone"}
SERVICES = sorted(services())
ORCHESTRATORS = ["orchestrator", "orchestrator-cpu", "orchestrator-shared"]
ROLE_SERVICES = sorted((GPU | CPU | SHARED | SINGLE) - {*ORCHESTRATORS})
# The recipe of each role service.
PARTS = {name: {"roles": "shared"}.get(name, name.removesuffix("-cpu")) for name in ROLE_SERVICES}

ORCHESTRATOR_VARIABLES = {f"{PREFIX}{name.upper()}" for name in OrchestratorSettings.model_fields}
# Passed on so that the orchestrator can refuse them.
RENAMED_VARIABLES = {f"{PREFIX}{name}" for name in RENAMED}
ROLE_PREFIX = RoleSettings.model_config["env_prefix"]
ROLE_VARIABLES = {f"{ROLE_PREFIX}{name.upper()}" for name in RoleSettings.model_fields}

# Settings that no service gets, and the reason.
LEFT_OUT = {
    "ALPHA_UMI_ALLOW_LOOPBACK_TOOLS": "a container has nothing on its loopback but the orchestrator itself",
    "ALPHA_UMI_FAILPOINT": "for crash tests",
    "ALPHA_UMI_SECRETS_KEY_FILE": "the key comes from .env, as the other secrets",
    "ALPHA_UMI_ROLE_ENGINE": "each image holds its engine",
    **dict.fromkeys(
        [f"ALPHA_UMI_ROLE_REMOTE_{name}" for name in ("URL", "MODEL", "KEY", "API", "EXTENSIONS")],
        "role services have a network without a way out to another server's engine",
    ),
    "ALPHA_UMI_ROLE_SCRIPT": "for tests",
    "ALPHA_UMI_ROLE_CACHE": "images keep caches in XDG_CACHE_HOME, where a volume is mounted",
}


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    return services()[request.param]


def validate(path: str) -> subprocess.CompletedProcess[str]:
    """Validate against the schema of the Compose Specification, in check-jsonschema's copy."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", path]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_file_follows_the_specification() -> None:
    result = validate(str(COMPOSE_FILE))
    assert result.returncode == 0, result.stdout


def test_the_rendered_file_follows_the_specification(tmp_path: Any) -> None:
    rendered = tmp_path / "docker-compose.yml"
    rendered.write_text(yaml.safe_dump(interpolate(read_compose(), SECRETS)))
    result = validate(str(rendered))
    assert result.returncode == 0, result.stdout


def test_the_schema_bites(tmp_path: Any) -> None:
    broken = read_compose()
    broken["services"]["planner"]["read_onyl"] = True
    (tmp_path / "docker-compose.yml").write_text(yaml.safe_dump(broken))
    result = validate(str(tmp_path / "docker-compose.yml"))
    assert result.returncode != 0
    assert "read_onyl" in result.stdout


@pytest.mark.parametrize("secret", SECRETS)
def test_nothing_starts_without_the_environment_file(secret: str) -> None:
    with pytest.raises(VariableMissing, match=rf"{secret}: .*\.env"):
        interpolate(read_compose(), {name: text for name, text in SECRETS.items() if name != secret})


def test_nothing_starts_with_the_environment_file_as_it_comes() -> None:
    with pytest.raises(VariableMissing, match=r"ALPHA_UMI_ROLE_TOKEN: .*\.env"):
        interpolate(read_compose(), documented_variables())


# Started services


def test_the_environment_file_starts_the_gpu_services() -> None:
    profiles = documented_variables()["COMPOSE_PROFILES"].split(",")
    assert set(services(*profiles)) == GPU


def test_the_cpu_profile_starts_no_gpu_service() -> None:
    assert set(services("cpu")) == CPU
    assert set(services("cpu", "examples")) == CPU | {"tool-api"}


def test_the_shared_profile_starts_one_engine() -> None:
    assert set(services("shared")) == SHARED


@pytest.mark.parametrize(
    ("variables", "adapters"),
    [({}, "/models/adapters"), ({"ROLE_ADAPTERS": "a"}, "/models/a"), ({"ROLE_ADAPTERS": ""}, "")],
)
def test_the_shared_engine_needs_no_adapters(variables: dict[str, str], adapters: str) -> None:
    assert services("shared", **variables)["roles"]["environment"]["ALPHA_UMI_ROLE_ADAPTERS"] == adapters


@pytest.mark.parametrize("others", [{"gpu"}, {"shared"}, {"cpu"}])
def test_the_single_model_comes_beside_the_roles(others: set[str]) -> None:
    assert set(services(*others, "single")) == set(services(*others)) | SINGLE


def test_every_service_has_a_profile(service: dict[str, Any]) -> None:
    assert service["profiles"], "it would start with the GPU services and with the CPU services"


@pytest.mark.parametrize(
    ("name", "profile"), [("orchestrator", "gpu"), ("orchestrator-cpu", "cpu"), ("orchestrator-shared", "shared")]
)
def test_the_orchestrator_waits_for_healthy_roles(name: str, profile: str) -> None:
    waits_for = services(profile, "single")[name]["depends_on"]
    assert waits_for.pop("backbone") == {"condition": "service_healthy", "required": False}, "there may be none"
    assert set(waits_for) == set(services(profile)) - {name}
    assert all(entry == {"condition": "service_healthy"} for entry in waits_for.values())


@pytest.mark.parametrize(("name", "suffix"), [("orchestrator", ""), ("orchestrator-cpu", "-cpu")])
def test_the_orchestrator_asks_each_role_at_its_service(name: str, suffix: str) -> None:
    environment = services()[name]["environment"]
    assert {role: environment[f"ALPHA_UMI_{role.upper()}_URL"] for role in ROLES} == {
        role: f"http://{role}{suffix}:{PORTS[role]}" for role in ROLES
    }


def test_the_orchestrator_asks_all_roles_at_the_shared_engine() -> None:
    environment = services()["orchestrator-shared"]["environment"]
    assert {environment[f"ALPHA_UMI_{role.upper()}_URL"] for role in ROLES} == {f"http://roles:{PORTS['shared']}"}


def test_the_shared_engine_can_be_given_the_adapters_that_ship() -> None:
    """As the operator's handbook says; what the operator has under the usual names stays the default."""
    chosen = services("shared", ROLE_ADAPTERS=FAMILY)["roles"]
    assert chosen["environment"]["ALPHA_UMI_ROLE_ADAPTERS"] == f"/models/{FAMILY}"
    assert [mount for mount in chosen["volumes"] if "source" in mount] == [
        {"type": "bind", "source": "./models", "target": "/models", "read_only": True}
    ]
    assert chosen["environment"]["ALPHA_UMI_ROLE_MODEL"] == "/models/backbone"
    handbook = (COMPOSE_FILE.parent / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f"ROLE_ADAPTERS={FAMILY}\n" in handbook


# Health


@pytest.mark.parametrize("name", ROLE_SERVICES)
def test_the_health_of_a_role_is_readiness(name: str) -> None:
    """The orchestrator starts when the models can answer."""
    entry = services()[name]
    port = PORTS[PARTS[name]]
    assert entry["build"]["args"]["ROLE"] == PARTS[name]
    assert entry["healthcheck"]["test"] == ["CMD", "healthcheck", f"http://127.0.0.1:{port}/readyz"]
    assert entry["environment"]["ALPHA_UMI_ROLE_PORT"] == str(port)


@pytest.mark.parametrize("name", ORCHESTRATORS)
def test_the_health_of_the_orchestrator_is_its_own(name: str) -> None:
    """An orchestrator must not be restarted as unhealthy because a role is down."""
    entry = services()[name]
    assert entry["healthcheck"]["test"] == ["CMD", "healthcheck", "http://127.0.0.1:8000/healthz"]
    assert entry["environment"]["ALPHA_UMI_PORT"] == "8000"


def test_every_service_has_a_health_check(service: dict[str, Any]) -> None:
    assert {"test", "interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])


@pytest.mark.parametrize("name", ROLE_SERVICES)
def test_an_engine_has_time_to_load(name: str) -> None:
    minutes = re.fullmatch(r"(\d+)m", services()[name]["healthcheck"]["start_period"])
    assert minutes
    assert int(minutes[1]) >= 10


# Devices


DEVICES = [("planner", "0"), ("caller", "1"), ("summarizer", "2"), ("backbone", "3"), ("roles", "0")]


@pytest.mark.parametrize(("role", "default"), DEVICES)
def test_each_engine_has_a_device_of_its_own(role: str, default: str) -> None:
    def device(**variables: str) -> dict[str, Any]:
        reserved: dict[str, Any]
        [reserved] = services(**variables)[role]["deploy"]["resources"]["reservations"]["devices"]
        return reserved

    assert device() == {"driver": "nvidia", "device_ids": [default], "capabilities": ["gpu"]}
    assert device(**{f"{role.upper()}_DEVICE": "GPU-1b2c"})["device_ids"] == ["GPU-1b2c"]


def test_engines_that_share_a_device_share_its_memory() -> None:
    variables = {f"{role.upper()}_DEVICE": "0" for role in ROLES}
    shared = services(**variables, ALPHA_UMI_ROLE_GPU_MEMORY_UTILIZATION="0.3")
    assert {shared[role]["environment"]["ALPHA_UMI_ROLE_GPU_MEMORY_UTILIZATION"] for role in ROLES} == {"0.3"}


@pytest.mark.parametrize("name", sorted({*SERVICES} - {name for name, _ in DEVICES}))
def test_only_gpu_roles_reserve_devices(name: str) -> None:
    assert "reservations" not in services()[name]["deploy"]["resources"]


# Restrictions of a container


def test_a_container_is_not_root(service: dict[str, Any]) -> None:
    uid, gid = service["user"].split(":")
    assert int(uid) >= 10_000
    assert int(gid) >= 10_000


def test_a_container_cannot_gain_rights(service: dict[str, Any]) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "devices", "device_cgroup_rules", "userns_mode", "group_add"}


def test_a_container_writes_only_where_it_must(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert [entry.split(":")[0] for entry in service["tmpfs"]] == ["/tmp"]
    assert "size=" in service["tmpfs"][0]
    for mount in service.get("volumes", []):
        if isinstance(mount, str):
            name, target = mount.split(":")
            assert name in read_compose()["volumes"]
            assert target in ("/var/cache/alpha-umi", "/var/lib/alpha-umi")
        else:
            assert mount["type"] == "bind"
            assert mount["read_only"] is True
            assert "docker.sock" not in mount["source"]


def test_a_container_is_alone(service: dict[str, Any]) -> None:
    assert not service.keys() & {"network_mode", "pid", "ipc", "uts", "cgroup_parent", "links"}
    assert service["networks"]


def test_a_container_has_limits(service: dict[str, Any]) -> None:
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    assert 0 < int(limits["pids"]) <= 4096
    assert re.fullmatch(r"\d+[mg]", limits["memory"])
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


def test_a_container_stops_and_restarts(service: dict[str, Any]) -> None:
    assert service["restart"] == "unless-stopped"
    drains = max(STOP_GRACE_S, drain.GRACE_S + drain.CUT_OFF_S) + server.GRACE_S
    assert float(service["stop_grace_period"].removesuffix("s")) >= 2 * drains, "an engine's process has to end as well"
    assert service["init"] is True


def test_only_the_orchestrator_is_published_and_on_loopback() -> None:
    published = {name: entry["ports"] for name, entry in services().items() if "ports" in entry}
    assert set(published) == {*ORCHESTRATORS}
    assert all(ports == ["127.0.0.1:8000:8000"] for ports in published.values())


def test_only_the_orchestrator_has_a_way_out() -> None:
    networks = read_compose()["networks"]
    open_networks = {name for name, entry in networks.items() if not entry.get("internal")}
    with_a_way_out = {name for name, entry in services().items() if open_networks & {*entry["networks"]}}
    assert with_a_way_out == {*ORCHESTRATORS}
    assert services()["tool-api"]["networks"] == ["tools"], "tools do not see the role services"


# Variables


@pytest.mark.parametrize("name", [*ORCHESTRATORS, *ROLE_SERVICES])
def test_the_settings_know_every_variable(name: str) -> None:
    known = ORCHESTRATOR_VARIABLES | RENAMED_VARIABLES if name.startswith("orchestrator") else ROLE_VARIABLES
    assert set(services()[name]["environment"]) <= known


@pytest.mark.parametrize("name", ORCHESTRATORS)
def test_an_old_name_of_a_setting_reaches_the_orchestrator_that_refuses_it(name: str) -> None:
    assert set(services()[name]["environment"]) >= RENAMED_VARIABLES


@pytest.mark.parametrize("names", [ORCHESTRATORS, ROLE_SERVICES], ids=["orchestrator", "roles"])
def test_every_setting_is_passed_on_or_left_out_for_a_reason(names: list[str]) -> None:
    passed_on = {variable for name in names for variable in services()[name]["environment"]}
    known = ORCHESTRATOR_VARIABLES if names is ORCHESTRATORS else ROLE_VARIABLES
    assert known - passed_on == LEFT_OUT.keys() & known


def test_what_is_left_out_are_settings() -> None:
    assert LEFT_OUT.keys() <= ORCHESTRATOR_VARIABLES | ROLE_VARIABLES


@pytest.mark.parametrize("name", [*ORCHESTRATORS, *ROLE_SERVICES])
def test_the_settings_accept_every_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in services()[name]["environment"].items():
        if value is not None:
            monkeypatch.setenv(variable, value)
    settings = OrchestratorSettings() if name.startswith("orchestrator") else RoleSettings()
    assert settings.host == "0.0.0.0"


def test_the_environment_file_names_every_variable() -> None:
    compose = read_compose()
    passed_on = {
        variable
        for entry in compose["services"].values()
        for mapping in (entry.get("environment", {}), entry["build"]["args"])
        for variable, value in mapping.items()
        if value is None
    }
    used = set(references(compose)) | passed_on - RENAMED_VARIABLES
    text = (COMPOSE_FILE.parent / ".env.example").read_text(encoding="utf-8")
    assert {name for name in used if not re.search(rf"\b{name}=", text)} == set()
    assert set(documented_variables()) - used == {"COMPOSE_PROFILES"}


def test_the_environment_file_shows_the_defaults() -> None:
    """A commented line shows the default."""
    shown = {name: value for name, value in documented_variables().items() if name not in SECRETS}
    assert services(**shown) == services()


@pytest.mark.parametrize("name", ["planner", "planner-cpu", "orchestrator"])
def test_the_environment_file_shows_the_settings_own_defaults(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that compose passes only if it is set has its default in the settings."""
    make = OrchestratorSettings if name == "orchestrator" else RoleSettings
    without = make()
    passed_on = [variable for variable, value in services()[name]["environment"].items() if value is None]
    shown = {variable: value for variable, value in documented_variables().items() if variable in passed_on}
    assert shown
    for variable, value in shown.items():
        monkeypatch.setenv(variable, value)
    assert make() == without
