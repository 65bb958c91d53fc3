"""Container and service: no root, only the data is writable, no capabilities, no escalation."""

import re
from typing import Any

import yaml  # type: ignore[import-untyped]  # it brings no types

from tests.command import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
SERVICE = (ROOT / "config" / "easeback.service").read_text("utf-8")
SECRET = re.compile(r"password|secret|token|key", re.IGNORECASE)


def instructions() -> list[tuple[str, str]]:
    """Instruction and arguments of each line, with continuations joined."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^#.*\n", "", DOCKERFILE))
    return [(line.split()[0], line.partition(" ")[2]) for line in joined.splitlines() if line]


def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    service: dict[str, Any] = services["services"]["easeback"]
    return service


def last_stage() -> list[tuple[str, str]]:
    found = instructions()
    begin = max(number for number, (name, _) in enumerate(found) if name == "FROM")
    return found[begin:]


def test_the_image_runs_as_nobody_special() -> None:
    """By number, so that it can be checked from outside; nothing later runs as root."""
    names = [name for name, _ in last_stage()]
    [user] = [told for name, told in last_stage() if name == "USER"]
    uid, gid = (int(number) for number in user.split(":"))
    assert uid >= 10_000
    assert gid >= 10_000
    assert not {"RUN", "COPY", "ADD"} & set(names[names.index("USER") :])


def test_the_image_holds_no_tool_to_install_more() -> None:
    """Neither pip nor a compiler is left in it."""
    ran = " ".join(told for name, told in last_stage() if name == "RUN")
    assert "pip uninstall" in ran
    assert "ensurepip" in ran
    assert "apt" not in DOCKERFILE


def test_the_image_is_built_of_what_was_locked() -> None:
    """With hashes, and nothing is fetched by URL."""
    assert "--require-hashes" in DOCKERFILE
    assert not [told for name, told in instructions() if name == "ADD"]
    assert "curl" not in DOCKERFILE
    assert "http://" not in DOCKERFILE


def test_the_image_is_built_on_one_base_named_by_its_digest() -> None:
    """The same in the Dockerfile and for compose, where a build argument may replace it."""
    [base] = [told.partition("=")[2] for name, told in instructions() if name == "ARG"]
    assert re.fullmatch(r"python:[\w.-]+@sha256:[0-9a-f]{64}", base)
    stages = [told.split()[0] for name, told in instructions() if name == "FROM"]
    assert set(stages) == {"${BASE}"}
    for file in ("compose.yaml", "compose.cluster.yaml"):
        assert f"${{EASEBACK_BASE:-{base}}}" in (ROOT / file).read_text("utf-8")


def test_the_image_holds_no_secret_and_no_history() -> None:
    """Neither as a variable nor as a file."""
    for name, told in instructions():
        if name in ("ENV", "ARG"):
            assert not SECRET.search(told), told
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
    copied = [told.split()[0] for name, told in instructions() if name == "COPY"]
    assert "." not in copied or ".git" in ignored


def test_compose_takes_away_all_that_is_not_needed() -> None:
    """A read-only file system, no capabilities, no new privileges."""
    service = compose()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    assert service.get("network_mode") != "host"
    assert "user" not in service


def test_compose_shows_the_face_to_this_machine_alone() -> None:
    """A TLS proxy in front of it, or no access from outside."""
    for port in compose()["ports"]:
        assert port.startswith("127.0.0.1:")


def test_compose_mounts_what_is_only_read_for_reading() -> None:
    """And the engine's socket isn't mounted."""
    for volume in compose()["volumes"]:
        assert "docker.sock" not in volume
        assert volume.startswith("data:") or volume.endswith(":ro"), volume


def test_compose_holds_no_secret() -> None:
    """They come as files."""
    for name in compose().get("environment", {}):
        assert not SECRET.search(name) or name.endswith("_FILE")


def test_the_service_is_hardened() -> None:
    """A separate user, and a restricted kernel interface."""
    said = dict(
        line.split("=", 1) for line in SERVICE.splitlines() if "=" in line and line[0] not in "#["
    )
    assert said["User"] == "easeback"
    assert said["UMask"] == "0077"
    assert said["ProtectSystem"] == "strict"
    assert said["CapabilityBoundingSet"] == ""
    for name in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "RestrictSUIDSGID"):
        assert said[name] == "yes"
    assert said["StateDirectoryMode"] == "0700"
