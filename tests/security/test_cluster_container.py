"""A crew's containers, as locked down as the single one: three workers, a web server, a
database.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it brings no types

from tests.command import ROOT
from tests.security.test_container import SECRET
from worker.config import Settings, known_keys

FILE: dict[str, Any] = yaml.safe_load((ROOT / "compose.cluster.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = FILE["services"]


def test_there_are_one_face_three_workers_and_a_database_that_is_waited_for() -> None:
    """Each role has its flag, and none starts before PostgreSQL answers."""
    assert SERVICES["web"]["command"] == ["run", "--web"]
    assert SERVICES["worker"]["command"] == ["run", "--worker"]
    assert SERVICES["worker"]["deploy"]["replicas"] == 3
    assert "pg_isready" in SERVICES["postgres"]["healthcheck"]["test"]
    for role in ("web", "worker"):
        assert SERVICES[role]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


@pytest.mark.parametrize("role", ["web", "worker"])
def test_each_role_has_no_more_rights_than_the_one_container(role: str) -> None:
    """Nothing writable except memory, no capabilities, no privilege escalation."""
    service = SERVICES[role]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert all(volume.endswith(":ro") for volume in service["volumes"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_the_inbox_is_the_workers_and_the_database_is_shown_to_nobody() -> None:
    """All of them use the same folder."""
    assert "./inbox:/inbox:ro" in SERVICES["worker"]["volumes"]
    assert "ports" not in SERVICES["postgres"]


def environment() -> Iterator[str]:
    for service in SERVICES.values():
        yield from service["environment"]


def test_no_secret_stands_in_the_file() -> None:
    """They come as files, and every setting exists."""
    for name in environment():
        assert not SECRET.search(name) or name.endswith("_FILE"), name
        if name.startswith("EASEBACK_"):
            section, _, key = name.removeprefix("EASEBACK_").lower().rpartition("__")
            known = known_keys()[section] if section else Settings.model_fields
            assert key.removesuffix("_file") in known, name
    assert all(one["file"].startswith("./secrets/") for one in FILE["secrets"].values())
    assert "/secrets/" in (ROOT / ".gitignore").read_text("utf-8").split()
