from __future__ import annotations

from collections import deque
from typing import Any

from tests.unit.installer.conftest import MONITOR, SHIPPER, Run, attributes, retitled
from tests.unit.installer.domain import Domain, Reply


def test_remove_removes_and_reports_each_part_that_the_installer_made(
    domain: Domain, run: Run
) -> None:
    domain.indices = {"cwl-1": (None, None), "cwl-2": ("theirs", 1)}
    arguments = "--shipper-role", SHIPPER, "--monitor-role", MONITOR
    run("install", *arguments, "--adopt")
    domain.objects["global", "dashboard", "theirs"] = {
        "type": "dashboard",
        "id": "theirs",
        "attributes": {},
        "references": [],
    }
    code, output, _ = run("remove", "--dry-run", *arguments)
    assert (code, output.count(": would be removed")) == (0, 10)
    assert len(domain.objects) == 5
    code, output, _ = run("remove", *arguments)
    assert (code, output.count(": removed")) == (0, 10)
    assert list(domain.objects) == [("global", "dashboard", "theirs")]
    assert domain.indices == {"cwl-1": (None, None), "cwl-2": ("theirs", 1)}
    assert not any(
        [domain.templates, domain.policies, domain.roles, domain.mappings, domain.settings]
    )
    code, output, _ = run("remove")
    assert (code, output.count(": not there")) == (0, 7)


def test_remove_keeps_an_object_that_was_changed_by_hand_unless_overwrite_is_given(
    domain: Domain, run: Run
) -> None:
    run("install")
    retitled(attributes(domain, "dashboard", "predictions"))
    code, _, errors = run("remove")
    assert code == 1
    assert "dashboard predictions (--overwrite removes it)" in errors
    left = list(domain.objects.values())
    assert ("global", "dashboard", "predictions") in domain.objects
    assert {(one["type"], one["id"]) for each in left for one in each["references"]} <= {
        (each["type"], each["id"]) for each in left
    }
    assert run("remove", "--overwrite")[0] == 0
    assert not domain.objects


def theirs(kind: str, identifier: str) -> dict[str, Any]:
    references = [{"name": "panel_0", "type": kind, "id": identifier}]
    return {
        "type": "dashboard",
        "id": "theirs",
        "attributes": {"title": "Theirs"},
        "references": references,
    }


def test_remove_keeps_objects_that_another_dashboard_shows_unless_force_is_given(
    domain: Domain, run: Run
) -> None:
    run("install")
    domain.objects["global", "dashboard", "theirs"] = theirs("visualization", "labels")
    code, output, _ = run("remove")
    assert code == 0
    assert "visualization labels: kept, because the dashboard 'Theirs' shows it" in output
    assert "search datatable: kept for the objects that refer to it" in output
    assert "index-pattern cwl: kept for the objects that refer to it" in output
    assert "default index pattern: kept, because the index pattern is kept" in output
    assert "dashboard predictions: removed" in output
    assert domain.settings["defaultIndex"]["userValue"] == "cwl"
    run("remove", "--force")
    assert [key[2] for key in domain.objects] == ["theirs"]
    assert domain.settings == {}


def test_a_removal_that_fails_reports_what_is_still_there(domain: Domain, run: Run) -> None:
    run("install")
    domain.answers = {
        "/_dashboards/api/saved_objects/search/": deque([Reply(500, {"message": "down"})])
    }
    code, output, errors = run("remove")
    assert code == 1
    assert "refuses DELETE /api/saved_objects/search/datatable (500: down)" in errors
    assert "dashboard predictions: missing" in output
    assert "search datatable: installed" in output
