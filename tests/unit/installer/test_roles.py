from __future__ import annotations

from installer.security import WITHOUT
from tests.unit.installer.conftest import SHIPPER, SOMEBODY, Run
from tests.unit.installer.domain import Domain


def test_a_server_without_access_control_needs_no_roles(domain: Domain, run: Run) -> None:
    domain.access_control = False
    code, output, _ = run("install", "--shipper-role", SHIPPER)
    assert code == 0
    assert f"role prediction-monitor-shipper for {SHIPPER} ({WITHOUT}): left" in output


def test_a_role_keeps_the_mappings_that_somebody_else_added(domain: Domain, run: Run) -> None:
    run("install", "--shipper-role", SOMEBODY)
    domain.mappings["prediction-monitor-shipper"]["users"] = ["jane"]
    domain.roles["prediction-monitor-shipper"]["index_permissions"] = []
    run("install", "--shipper-role", SHIPPER)
    mapping = domain.mappings["prediction-monitor-shipper"]
    assert (mapping["backend_roles"], mapping["users"]) == ([SOMEBODY, SHIPPER], ["jane"])
    assert domain.roles["prediction-monitor-shipper"]["index_permissions"]
    run("remove", "--shipper-role", SHIPPER)
    mapping = domain.mappings["prediction-monitor-shipper"]
    assert (mapping["backend_roles"], mapping["users"]) == ([SOMEBODY], ["jane"])
    assert "prediction-monitor-shipper" in domain.roles
