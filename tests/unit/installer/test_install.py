from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from installer.__main__ import main
from installer.address import PASSWORD, address
from installer.dashboards import place
from installer.security import WITHOUT
from installer.server import UserError, sign_in
from tests.unit.installer.domain import Domain, Reply, Request, listening, short
from tools.root import ROOT

SHIPPER = "arn:aws:iam::123456789012:role/shipper"
MONITOR = "arn:aws:iam::123456789012:role/path/monitor"
NOON = int(time.time() * 1000)
SOMEBODY = "arn:aws:iam::123456789012:role/somebody"
INDEX = {"name": "kibanaSavedObjectMeta.searchSourceJSON.index", "type": "index-pattern", "id": "cwl"}
SEARCH = {"query": {"query": "traffic:live", "language": "kuery"}, "indexRefName": INDEX["name"]}
OBJECTS: dict[str, dict[str, Any]] = {
    "index-pattern/cwl": {"attributes": {"title": "cwl-*", "timeFieldName": "@timestamp"}, "migrationVersion": {"index-pattern": "7.6.0"}},
    "search/datatable": {
        "attributes": {
            "title": "MLOps Datatable",
            "description": "The newest predictions.",
            "columns": ["text"],
            "kibanaSavedObjectMeta": {"searchSourceJSON": SEARCH},
        },
        "references": [INDEX],
        "migrationVersion": {"search": "7.9.3"},
    },
    "visualization/labels": {
        "attributes": {"title": "Labels", "visState": {"title": "Labels", "type": "histogram", "aggs": []}, "uiStateJSON": {}},
        "references": [{"name": "search_0", "type": "search", "id": "datatable"}],
        "migrationVersion": {"visualization": "7.10.0"},
    },
    "dashboard/predictions": {
        "attributes": {"title": "Predictions", "panelsJSON": [{"version": "7.10.2", "panelIndex": "1"}], "timeRestore": True},
        "references": [{"name": "panel_0", "type": "visualization", "id": "labels"}],
        "migrationVersion": {"dashboard": "7.9.3"},
    },
}
NAMES = [name.replace("/", " ") for name in OBJECTS]
STATE = "_g=(refreshInterval:(pause:!f,value:5000),time:(from:now-15m,to:now))"

Run = Callable[..., tuple[int, str, str]]


def write(folder: Path, objects: dict[str, dict[str, Any]]) -> Path:
    for name, content in objects.items():
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "saved", OBJECTS)


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Domain]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    for name in ("OPENSEARCH_URL", PASSWORD):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("installer.server.PAUSE_SECONDS", 0.01)
    state = Domain()
    with listening(state.answer) as url:
        state.url = url
        yield state
    assert state.wrong == []


@pytest.fixture
def run(domain: Domain, folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command with both addresses: its exit code, standard output and standard error."""

    def call(
        *arguments: str,
        opensearch: str | None = domain.url,
        dashboards: str | None = domain.dashboards,
        days: str | None = "30",
    ) -> tuple[int, str, str]:
        if days and "--retention-days" not in arguments:
            arguments = *arguments, "--retention-days", days
        addresses = [*(["--opensearch", opensearch] if opensearch else []), *(["--dashboards", dashboards] if dashboards else [])]
        code = main([*arguments, *addresses], folder)
        return code, *capsys.readouterr()

    return call


def attributes(domain: Domain, kind: str, identifier: str) -> dict[str, Any]:
    found: dict[str, Any] = domain.objects["global", kind, identifier]["attributes"]
    return found


def test_an_empty_domain_gets_everything_and_the_links_to_it(domain: Domain, run: Run) -> None:
    domain.indices = {"cwl-2026.11.22": (None, None), "cwl-2026.11.23": (None, None)}
    domain.made = {"cwl-2026.11.22": int(time.time() * 1000) - 31 * 86_400_000, "cwl-2026.11.23": NOON}
    roles = "--shipper-role", SHIPPER, "--monitor-role", MONITOR
    code, output, errors = run("install", *roles, "--adopt")
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    told = lines.pop(1)
    assert told.startswith("retention: 2 cwl-* indices are deleted 30d after being made, 1 of them from today on, the next on 20")
    assert lines[:10] == [
        "index template prediction-monitor: installed",
        "retention policy prediction-monitor (deletes after 30d): installed",
        "retention of existing indices (2 cwl-* indices, 2 not yet): installed",
        f"role prediction-monitor-shipper for {SHIPPER}: installed",
        f"role prediction-monitor-monitor for {MONITOR}: installed",
        *(f"{name}: installed" for name in NAMES),
        "default index pattern (cwl): installed",
    ]
    assert lines[10:] == [
        "",
        "Predictions",
        f"  {domain.dashboards}/app/dashboards#/view/predictions?{STATE}",
        f"  {domain.dashboards}/goto/{short(f'/app/dashboards#/view/predictions?{STATE}')}",
        "",
        "Discover: MLOps Datatable",
        f"  {domain.dashboards}/app/discover#/view/datatable?{STATE}",
        f"  {domain.dashboards}/goto/{short(f'/app/discover#/view/datatable?{STATE}')}",
    ]
    assert set(domain.indices.values()) == {("prediction-monitor", domain.sequence)}
    assert domain.settings["defaultIndex"]["userValue"] == "cwl"
    assert domain.mappings["prediction-monitor-shipper"]["backend_roles"] == [SHIPPER]
    assert domain.roles["prediction-monitor-shipper"]["cluster_permissions"] == ["indices:data/write/bulk"]
    assert json.loads(attributes(domain, "index-pattern", "cwl")["fields"])
    assert attributes(domain, "search", "datatable")["description"] == "The newest predictions."  # nothing but what people read


def test_a_second_and_a_third_run_change_nothing(domain: Domain, run: Run) -> None:
    domain.indices = {"cwl-2026.11.23": (None, None)}
    arguments = "install", "--shipper-role", SHIPPER, "--monitor-role", MONITOR
    run(*arguments)
    domain.writes.clear()
    for _ in range(2):
        code, output, errors = run(*arguments)
        assert (code, errors) == (0, "")
        assert output.splitlines()[1] == "as it should be already: 10 things"
    assert domain.writes == []
    assert run("status")[0] == 0


def test_kibana_is_told_where_its_own_settings_are(domain: Domain, run: Run) -> None:
    domain.kibana = True
    assert run("install")[0] == 0
    assert "POST /_dashboards/api/kibana/settings" in domain.writes


def test_a_dry_run_writes_nothing_and_says_what_it_would(domain: Domain, run: Run) -> None:
    code, output, _ = run("install", "--dry-run")
    assert code == 0
    assert output.count(": would be installed") == 7
    assert "/app/" not in output
    assert domain.writes == []


@pytest.mark.parametrize("missing", ["opensearch", "dashboards"])
def test_a_half_without_its_address_is_left_out_and_that_is_said(domain: Domain, run: Run, missing: str) -> None:
    code, output, _ = run("install", **{missing: None})
    assert code == 0
    assert f"because no address of {'OpenSearch' if missing == 'opensearch' else 'Dashboards'} is given" in output
    assert bool(domain.templates) is (missing == "dashboards")
    assert bool(domain.objects) is (missing == "opensearch")


def test_status_names_what_is_missing_or_changed(domain: Domain, run: Run, folder: Path) -> None:
    code, output, _ = run("status")
    assert code == 1
    assert output.count(": missing") == 7  # not the retention of indices, of which there are none
    run("install")
    domain.templates["prediction-monitor"]["priority"] = 1
    domain.policies["prediction-monitor"]["policy"]["ism_template"] = []
    del domain.objects["global", "visualization", "labels"]
    attributes(domain, "dashboard", "predictions")["title"] = "Mine"
    path = folder / "search" / "datatable.json"
    path.write_text(path.read_text().replace('["text"]', '["text", "prediction.label"]'))
    code, output, _ = run("status")
    assert code == 1
    assert [line for line in output.splitlines() if not line.endswith(": installed")] == [
        "index template prediction-monitor (an index that is there keeps its mapping): changed",
        "retention policy prediction-monitor (deletes after 30d): changed",
        "search datatable: changed",
        "visualization labels: missing",
        "dashboard predictions: changed by hand",
    ]


def test_a_newer_file_replaces_what_nobody_touched(domain: Domain, run: Run, folder: Path) -> None:
    run("install")
    path = folder / "search" / "datatable.json"
    path.write_text(path.read_text().replace('["text"]', '["text", "prediction.label"]'))
    domain.writes.clear()
    code, output, _ = run("install")
    assert code == 0
    assert output.splitlines()[1:3] == ["search datatable: replaced", "as it should be already: 7 things"]
    assert domain.writes == ["POST /_dashboards/api/saved_objects/_import"]
    assert attributes(domain, "search", "datatable")["columns"] == ["text", "prediction.label"]
    assert run("status")[0] == 0


def no_stamp(found: dict[str, Any]) -> None:
    found["description"] = "mine"


def retitled(found: dict[str, Any]) -> None:
    found["title"] = "mine"


def broken(found: dict[str, Any]) -> None:
    found["visState"] = "{"


def scripted(found: dict[str, Any]) -> None:
    found["fields"] = json.dumps([*json.loads(found["fields"]), {"name": "mine", "scripted": True}])


@pytest.mark.parametrize(
    ("kind", "identifier", "change"),
    [
        ("search", "datatable", retitled),
        ("visualization", "labels", no_stamp),
        ("visualization", "labels", broken),
        ("dashboard", "predictions", retitled),
        ("index-pattern", "cwl", retitled),
        ("index-pattern", "cwl", scripted),
    ],
)
def test_what_was_changed_by_hand_is_kept_and_named_until_overwrite(
    domain: Domain, run: Run, kind: str, identifier: str, change: Callable[[dict[str, Any]], None]
) -> None:
    run("install")
    changed = attributes(domain, kind, identifier)
    change(changed)
    before = dict(changed)
    if change is no_stamp:
        changed["title"] = before["title"] = "mine"
    code, output, errors = run("install")
    assert code == 1
    assert f"{kind} {identifier}: changed by hand, kept" in output.splitlines()
    assert f"changed by hand, and kept: {kind} {identifier}: --overwrite replaces it" in errors
    assert attributes(domain, kind, identifier) == before
    code, output, _ = run("install", "--overwrite")
    assert code == 0
    assert f"{kind} {identifier}: replaced, though changed by hand" in output.splitlines()
    assert run("status")[0] == 0


def test_an_index_pattern_whose_list_of_fields_is_kibanas_own_stays_and_one_that_lacks_ours_is_replaced(domain: Domain, run: Run) -> None:
    run("install")
    pattern = attributes(domain, "index-pattern", "cwl")
    entries = json.loads(pattern["fields"])
    pattern |= {"fields": json.dumps([*entries, {"name": "later"}]), "fieldFormatMap": "{}", "typeMeta": "{}"}
    assert run("status")[0] == 0
    pattern["fields"] = json.dumps(entries[1:])
    assert "index-pattern cwl: changed\n" in run("status")[1]
    run("install")
    assert json.loads(attributes(domain, "index-pattern", "cwl")["fields"]) == entries


def test_an_object_imported_by_hand_as_it_is_gets_its_stamp(domain: Domain, run: Run) -> None:
    run("install")
    attributes(domain, "index-pattern", "cwl")["predictionMonitor"]["digests"].pop("search datatable")
    assert "search datatable: changed\n" in run("status")[1]
    assert run("install")[0] == 0
    assert run("status")[0] == 0


def test_a_default_index_pattern_that_somebody_chose_stays(domain: Domain, run: Run) -> None:
    domain.settings = {"defaultIndex": {"userValue": "theirs"}}
    code, output, _ = run("install")
    assert code == 0
    assert "default index pattern (theirs, chosen by somebody): left alone" in output
    run("remove")
    assert domain.settings == {"defaultIndex": {"userValue": "theirs"}}


# Retention


def age(domain: Domain) -> str:
    found: str = domain.policies["prediction-monitor"]["policy"]["states"][0]["transitions"][0]["conditions"]["min_index_age"]
    return found


def test_retention_days_change_the_policy_and_every_index_that_follows_it(domain: Domain, run: Run) -> None:
    domain.indices = {f"cwl-{number:03}": (None, None) for number in range(150)} | {"cwl-theirs": ("theirs", 3)}
    run("install", "--retention-days", "90", "--adopt")
    assert age(domain) == "90d"
    first = domain.sequence
    domain.indices["cwl-new"] = (None, None)
    code, output, _ = run("install", "--retention-days", "7", "--adopt")
    assert code == 0
    assert "retention policy prediction-monitor (deletes after 7d): replaced" in output
    assert "(152 cwl-* indices, 151 not yet, 1 with a policy of another name, left alone): installed" in output
    assert age(domain) == "7d"
    assert domain.sequence > first
    assert domain.indices.pop("cwl-theirs") == ("theirs", 3)
    assert set(domain.indices.values()) == {("prediction-monitor", domain.sequence)}


def test_without_retention_days_a_policy_that_is_there_keeps_its_own(domain: Domain, run: Run) -> None:
    run("install", "--retention-days", "365")
    code, output, _ = run("install", days=None)
    assert code == 0
    assert output.partition("\n")[2].startswith("as it should be already: 8 things\n")
    assert age(domain) == "365d"


def test_a_policy_that_somebody_built_otherwise_is_kept_until_overwrite(domain: Domain, run: Run) -> None:
    domain.indices = {"cwl-1": (None, None)}
    run("install", "--adopt")
    warm = {"name": "warm", "actions": [], "transitions": [{"state_name": "deleted", "conditions": {"min_index_age": "365d"}}]}
    states = domain.policies["prediction-monitor"]["policy"]["states"]
    states[0]["transitions"][0]["state_name"] = "warm"
    states.insert(1, warm)
    code, output, errors = run("install", "--retention-days", "7")
    assert code == 1
    assert "retention policy prediction-monitor: changed by hand, kept" in output
    assert "changed by hand, and kept: retention policy prediction-monitor: --overwrite replaces it" in errors
    assert "retention policy prediction-monitor: changed by hand, kept" in run("remove")[1]
    assert states[1] is warm
    assert domain.indices == {"cwl-1": ("prediction-monitor", domain.sequence)}
    assert run("install", "--overwrite", "--retention-days", "7")[0] == 0
    assert age(domain) == "7d"
    assert domain.indices == {"cwl-1": ("prediction-monitor", domain.sequence)}
    assert run("status", days=None)[0] == 0


def test_indices_left_behind_by_a_run_that_broke_off_follow_later(domain: Domain, run: Run) -> None:
    run("install")
    domain.indices = {"cwl-late": ("prediction-monitor", domain.sequence - 1), "cwl-waiting": ("prediction-monitor", None)}
    assert "(2 cwl-* indices, 1 not yet): changed" in run("status")[1]
    run("install")
    assert domain.indices["cwl-late"] == ("prediction-monitor", domain.sequence)


def test_a_failure_inside_a_200_of_ism_is_read(domain: Domain, run: Run) -> None:
    domain.indices = {"cwl-1": (None, None)}
    failed = {"updated_indices": 0, "failures": True, "failed_indices": [{"index_name": "cwl-1", "index_uuid": "u", "reason": "closed"}]}
    domain.answers["/_plugins/_ism/add"] = deque([Reply(200, failed)])
    code, output, errors = run("install", "--adopt")
    assert code == 1
    assert "left the retention of some indices as it was (cwl-1: closed)" in errors
    assert "retention policy prediction-monitor (deletes after 30d): installed" in output
    assert "retention of existing indices (1 cwl-* index, 1 not yet): missing" in output


def test_an_index_that_can_take_no_other_policy_now_takes_it_later(domain: Domain, run: Run) -> None:
    run("install", "--retention-days", "30")
    domain.indices = {"cwl-late": ("prediction-monitor", domain.sequence - 1)}
    failed = {"updated_indices": 0, "failures": True, "failed_indices": [{"index_name": "cwl-late", "index_uuid": "u", "reason": "moving"}]}
    domain.answers["/_plugins/_ism/change_policy"] = deque([Reply(200, failed)])
    code, output, errors = run("install")
    assert (code, "cwl-late" in errors) == (0, False)
    assert "1 not yet" in output
    assert domain.indices["cwl-late"] == ("prediction-monitor", domain.sequence - 1)
    run("install")
    assert domain.indices["cwl-late"] == ("prediction-monitor", domain.sequence)


@pytest.mark.parametrize("status", [400, 404, 405])
def test_a_server_without_ism_is_told_and_not_failed(domain: Domain, run: Run, status: int) -> None:
    domain.ism, domain.without_ism = False, status
    sentence = "retention policy prediction-monitor (the server has no index state management: old cwl-* indices are yours to delete)"
    for command in ("install", "status"):
        code, output, _ = run(command)
        assert code == 0
        assert f"{sentence}: left alone" in output


# Access control


def test_a_server_without_access_control_needs_no_roles(domain: Domain, run: Run) -> None:
    domain.access_control = False
    code, output, _ = run("install", "--shipper-role", SHIPPER)
    assert code == 0
    assert f"role prediction-monitor-shipper for {SHIPPER} ({WITHOUT}): left" in output


def test_whoever_is_mapped_to_a_role_already_stays(domain: Domain, run: Run) -> None:
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


# Removal


def test_remove_takes_what_is_ours_and_says_so(domain: Domain, run: Run) -> None:
    domain.indices = {"cwl-1": (None, None), "cwl-2": ("theirs", 1)}
    arguments = "--shipper-role", SHIPPER, "--monitor-role", MONITOR
    run("install", *arguments, "--adopt")
    domain.objects["global", "dashboard", "theirs"] = {"type": "dashboard", "id": "theirs", "attributes": {}, "references": []}
    code, output, _ = run("remove", "--dry-run", *arguments)
    assert (code, output.count(": would be removed")) == (0, 10)
    assert len(domain.objects) == 5
    code, output, _ = run("remove", *arguments)
    assert (code, output.count(": removed")) == (0, 10)
    assert list(domain.objects) == [("global", "dashboard", "theirs")]
    assert domain.indices == {"cwl-1": (None, None), "cwl-2": ("theirs", 1)}
    assert not any([domain.templates, domain.policies, domain.roles, domain.mappings, domain.settings])
    code, output, _ = run("remove")
    assert (code, output.count(": not there")) == (0, 7)


def test_remove_keeps_what_was_changed_by_hand_until_overwrite(domain: Domain, run: Run) -> None:
    run("install")
    retitled(attributes(domain, "dashboard", "predictions"))
    code, _, errors = run("remove")
    assert code == 1
    assert "dashboard predictions: --overwrite removes it" in errors
    left = list(domain.objects.values())
    assert ("global", "dashboard", "predictions") in domain.objects
    assert {(one["type"], one["id"]) for each in left for one in each["references"]} <= {(each["type"], each["id"]) for each in left}
    assert run("remove", "--overwrite")[0] == 0
    assert not domain.objects


# Tenants, addresses and signing in


def test_a_tenant_has_objects_of_its_own_and_is_in_the_links(domain: Domain, run: Run) -> None:
    domain.tenants = {"global_tenant": True, "mlops": True}
    code, output, _ = run("install", "--tenant", "mlops")
    assert code == 0
    assert {tenant for tenant, _, _ in domain.objects} == {"mlops"}
    assert f"/app/dashboards?security_tenant=mlops#/view/predictions?{STATE}" in output


def test_user_and_password_sign_every_request(domain: Domain, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    domain.login = ("jane", "pässword")
    monkeypatch.setenv(PASSWORD, "pässword")
    assert run("install", "--user", "jane")[0] == 0
    assert domain.objects


ADDRESSES = [
    ("https://d.eu-west-1.es.amazonaws.com/", None, None, "https://d.eu-west-1.es.amazonaws.com/_dashboards"),
    ("https://d.eu-west-1.es.amazonaws.com", None, "_plugin/kibana/", "https://d.eu-west-1.es.amazonaws.com/_plugin/kibana"),
    ("http://127.0.0.1:9200", None, None, None),
    (None, "http://127.0.0.1:5601/", None, "http://127.0.0.1:5601"),
    ("http://127.0.0.1:9200", "http://127.0.0.1:5601", "/kibana", "http://127.0.0.1:5601/kibana"),
]


@pytest.mark.parametrize(("opensearch", "dashboards", "base_path", "expected"), ADDRESSES)
def test_where_dashboards_is(opensearch: str | None, dashboards: str | None, base_path: str | None, expected: str | None) -> None:
    first, second = (address(text) if text else None for text in (opensearch, dashboards))
    found = place(first, second, base_path)
    assert (found and found.url) == expected


def test_a_login_in_one_address_signs_every_request_and_is_never_shown(domain: Domain, run: Run) -> None:
    domain.login = ("jane", "p/ss@wörd")
    url = domain.url.replace("//", "//jane:p%2Fss%40w%C3%B6rd@")
    code, output, errors = run("install", opensearch=f" {url}/ ")
    assert (code, errors) == (0, "")
    assert domain.objects
    assert "w%C3" not in output


def test_the_shipper_and_the_installer_read_addresses_by_the_same_file() -> None:
    first, second = (ROOT / f"functions/{name}/{name}/address.py" for name in ("shipper", "installer"))
    assert first.read_bytes() == second.read_bytes()


def test_dashboards_that_lets_in_nobody_but_people_is_left_out_and_has_a_file_to_import(
    domain: Domain, run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = "https://prod.auth.eu-west-1.amazoncognito.com/oauth2/authorize?client_id=x"
    domain.answers["/_dashboards"] = deque([Reply(302, "", "text/html", (("location", target),))] * 9)
    code, output, errors = run("install", "--stack", "prod")
    assert code == 0
    assert "signs people in with Cognito, which no command can do: write the saved objects into a file" in errors
    assert "saved objects: left out" in output
    assert domain.templates
    domain.answers.clear()
    assert main(["export", "--stack", "prod"], folder) == 0
    lines = capsys.readouterr().out.splitlines()
    for one in map(json.loads, lines):
        domain.objects["global", one["type"], one["id"]] = one
    assert {f"{kind} {identifier}" for _, kind, identifier in domain.objects} == {f"{name}.prod" for name in NAMES}
    domain.writes.clear()
    assert run("install", "--stack", "prod", days=None)[0] == 0
    assert domain.writes == ["POST /_dashboards/api/opensearch-dashboards/settings"]  # the default index pattern


def test_dashboards_of_an_amazon_domain_can_be_left_out(domain: Domain, run: Run) -> None:
    code, output, _ = run("install", "--no-dashboards")
    assert code == 0
    assert "saved objects: left out" in output
    assert domain.objects == {}


def test_requests_to_an_amazon_domain_are_signed_for_its_region(monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    url = "https://search-d.eu-south-2.es.amazonaws.com"
    session = requests.Session()
    session.auth = sign_in(address(url))
    request = session.prepare_request(requests.Request("PUT", url + "/_index_template/prediction-monitor", json={}))
    authorization = str(request.headers["Authorization"])
    assert "AKIAEXAMPLE/" in authorization
    assert "/eu-south-2/es/aws4_request" in authorization
    assert request.headers["x-amz-security-token"] == "token"
    mine = "https://search.example.com"
    own = session.prepare_request(requests.Request("GET", mine, auth=sign_in(address(mine), "eu-west-1")))
    assert "/eu-west-1/es/aws4_request" in str(own.headers["Authorization"])


def test_without_credentials_an_amazon_domain_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"no AWS credentials .*: set AWS_PROFILE, or give --user"):
        sign_in(address("https://search-d.eu-west-1.es.amazonaws.com"))


def test_a_profile_that_does_not_exist_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    with pytest.raises(UserError, match=r"AWS credentials cannot be had \(.*nowhere.*\): sign in to AWS, or set AWS_PROFILE"):
        sign_in(address("https://search-d.eu-west-1.es.amazonaws.com"))


# A server that is starting


NOT_READY = Reply(503, "Kibana server is not ready yet", "text/plain")


def test_a_server_that_is_starting_is_waited_for(domain: Domain, run: Run) -> None:
    domain.answers = {"/_index_template": deque([Reply(502, "bad gateway", "text/html")]), "/_dashboards": deque([NOT_READY] * 3)}
    code, _, errors = run("install")
    assert code == 0
    assert errors.count("waiting for OpenSearch at") == 1
    assert errors.count("waiting for Dashboards at") == 1


def test_a_server_that_does_not_listen_yet_is_waited_for(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    later, ended = Domain(), threading.Event()

    def serve() -> None:
        time.sleep(0.3)
        with listening(later.answer, port):
            ended.wait(30)

    thread = threading.Thread(target=serve)
    thread.start()
    code, _, errors = run("install", opensearch=f"http://127.0.0.1:{port}")
    ended.set()
    thread.join()
    assert code == 0, errors
    assert later.templates


# Bad input


REDIRECT = Reply(302, "", "text/html", (("location", "https://login.example.com/saml?secret=1"),))
NO_PERMISSION = Reply(
    403,
    {"error": {"type": "security_exception", "reason": "no permissions for [indices:admin/index_template/get] and User [name=jane]"}},
)
ANONYMOUS = Reply(403, {"Message": "User: anonymous is not authorized to perform: es:ESHttpGet"})
HTML = Reply(200, "<html>a login page</html>", "text/html")
UNSUPPORTED = {
    "success": False,
    "successCount": 3,
    "errors": [{"id": "labels", "type": "visualization", "title": "Labels", "error": {"type": "unsupported_type"}}],
}
IMPORT = "/_dashboards/api/saved_objects/_import"
FIRST = "/_index_template"
BAD: list[tuple[str, dict[str, list[Reply]], list[str], str]] = [
    ("a redirect", {FIRST: [REDIRECT]}, [], "sends GET /_index_template/prediction-monitor* on to https://login.example.com/saml: give"),
    ("403 from access control", {FIRST: [NO_PERMISSION]}, [], "no permissions for [indices:admin/index_template/get]"),
    ("403 from a domain's policy", {FIRST: [ANONYMOUS]}, [], "--sign REGION for an Amazon domain that has a name of your own"),
    ("no JSON", {FIRST: [HTML]}, [], "with 200 and no JSON object (<html>a login page</html>): check address and base path"),
    ("no JSON from Dashboards", {"/_dashboards": [HTML]}, [], "and no JSON"),
    ("a server that does not become ready", {"/_dashboards": [NOT_READY]}, ["--wait", "0"], "(503: Kibana server is not ready yet): look"),
    ("no object", {FIRST: [Reply(200, ["a list"])]}, [], "with 200 and no JSON object"),
    ("another server's JSON", {FIRST: [Reply(200, {"hello": "world"})]}, [], "answers, but not as OpenSearch: check --opensearch"),
    ("another server's settings", {"/_dashboards": [Reply(200, {})] * 2}, [], "neither Dashboards nor Kibana is at"),
    ("another error", {FIRST: [Reply(500, {"error": "boom"})]}, [], "(500: boom): check its version and its log"),
    ("a path below which nothing is", {}, ["--base-path", "/x"], "neither Dashboards nor Kibana is at"),
    ("an import that is too large", {IMPORT: [Reply(413, {"message": "Payload content length"})]}, [], "(413: Payload content length)"),
    ("errors inside a 200", {IMPORT: [Reply(200, UNSUPPORTED)]}, [], "did not take visualization labels (unsupported_type)"),
    ("a count that falls short", {IMPORT: [Reply(200, {"success": True, "successCount": 0})]}, [], "did not take all objects"),
    ("a user without a password", {}, ["--user", "jane"], "the user jane needs a password: set the environment variable"),
    ("another user in the address", {}, ["--dashboards", "http://jane:secret@127.0.0.1", "--user", "joe"], "user joe needs a password"),
    ("a password that is not escaped", {}, ["--dashboards", "http://jane:sec/ret@127.0.0.1"], "--dashboards must be an http(s) address"),
    ("an address that is none", {}, ["--dashboards", "127.0.0.1:5601"], "--dashboards must be an http(s) address: https://HOST"),
    ("an unreachable server", {}, ["--dashboards", "http://127.0.0.1:1", "--wait", "0"], "cannot be reached: check the address"),
    ("an unknown host", {}, ["--dashboards", "http://no.invalid"], "cannot be reached: check the address"),
]


@pytest.mark.parametrize(("answers", "arguments", "sentence"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_what_cannot_work_is_one_sentence_and_exit_1(  # noqa: PLR0917
    domain: Domain, folder: Path, capsys: pytest.CaptureFixture[str], answers: dict[str, list[Reply]], arguments: list[str], sentence: str
) -> None:
    domain.answers = {path: deque(replies) for path, replies in answers.items()}
    if "--base-path" in arguments:
        domain.answers["/_dashboards/x"] = deque([Reply(404, {"statusCode": 404, "message": "Not Found"})] * 2)
    code = main(["install", "--opensearch", domain.url, "--dashboards", domain.dashboards, *arguments], folder)
    errors = capsys.readouterr().err.splitlines()
    assert code == 1
    assert sentence in errors[-1]
    assert len([line for line in errors if "waiting for" not in line]) == 1
    assert "secret" not in errors[-1]
    if IMPORT not in answers:
        assert domain.writes == []


def test_a_wrong_password_is_one_sentence(domain: Domain, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    domain.login = ("jane", "right")
    monkeypatch.setenv(PASSWORD, "wrong")
    code, _, errors = run("install", "--user", "jane")
    assert code == 1
    assert "does not accept the user (401: Unauthorized): check name and password (--user with OPENSEARCH_PASSWORD" in errors
    assert "wrong" not in errors


@pytest.mark.parametrize(
    ("tenants", "sentence"),
    [
        ({"global_tenant": True, "jane": True}, "there is no tenant 'mlops' for you, but global_tenant, jane: make it, or give another"),
        (None, "has no tenants: leave --tenant out"),
    ],
)
def test_a_missing_tenant_is_found_before_the_server_takes_another(
    domain: Domain, run: Run, tenants: dict[str, bool] | None, sentence: str
) -> None:
    domain.tenants = tenants
    code, _, errors = run("install", "--tenant", "mlops")
    assert code == 1
    assert sentence in errors
    assert domain.writes == []


def test_an_older_server_is_named_and_so_is_what_it_does_not_have(domain: Domain, run: Run) -> None:
    domain.newest["visualization"] = "7.9.3"
    code, output, errors = run("install")
    assert code == 1
    assert 'is too old for these files (Document "labels" has property' in errors
    assert "index template prediction-monitor: installed" in output
    for name in NAMES:
        assert f"{name}: missing" in output


def test_what_a_missing_reference_keeps_out_is_named(domain: Domain, run: Run, folder: Path) -> None:
    (folder / "index-pattern" / "cwl.json").unlink()
    code, output, errors = run("install")
    assert code == 1
    assert "search datatable (missing_references index-pattern cwl)" in errors
    assert "dashboard predictions: missing" in output


def test_a_removal_that_breaks_off_tells_what_is_still_there(domain: Domain, run: Run) -> None:
    run("install")
    domain.answers = {"/_dashboards/api/saved_objects/search/": deque([Reply(500, {"message": "down"})])}
    code, output, errors = run("remove")
    assert code == 1
    assert "refuses DELETE /api/saved_objects/search/datatable (500: down)" in errors
    assert "dashboard predictions: missing" in output
    assert "search datatable: installed" in output


def test_a_server_that_goes_away_half_way_is_told(domain: Domain, run: Run) -> None:
    down = [None, None, Reply(500, {"error": "down"}), Reply(500, {"error": "down"})]
    domain.answers = {"/_index_template": deque(down)}
    code, output, errors = run("install")
    assert code == 1
    assert "refuses PUT /_index_template/prediction-monitor (500: down)" in errors
    assert "the installed parts cannot be read: run status" in output


ARGUMENTS = [
    ([], "nothing to do without --opensearch and --dashboards: give one of them, or both"),
    (["--retention-days", "0"], "'0' is no number of days: give a whole number from 1"),
    (["--wait", "soon"], "'soon' is no number of seconds: give a whole number from 0"),
    (
        ["--shipper-role", "arn:aws:sts::123456789012:assumed-role/a/b"],
        "is no role: give its ARN, such as arn:aws:iam::123456789012:role/NAME",
    ),
]


@pytest.mark.parametrize(("arguments", "sentence"), ARGUMENTS)
def test_wrong_arguments_are_one_sentence_and_exit_2(
    domain: Domain, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["install", *arguments])
    assert end.value.code == 2
    errors = capsys.readouterr().err
    assert sentence in errors
    assert errors.count("\n") == 1


def program(domain: Domain) -> tuple[list[str], dict[str, str]]:
    command = [sys.executable, "-u", "-m", "installer", "install", "--opensearch", domain.url, "--dashboards", domain.dashboards]
    return command, os.environ | {"PYTHONPATH": str(ROOT / "functions/installer")}


def test_it_runs_as_a_program_with_the_objects_of_this_project(domain: Domain) -> None:
    command, environment = program(domain)
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "dashboard" in ended.stdout


def test_output_that_nobody_reads_breaks_off_with_one_sentence(domain: Domain) -> None:
    command, environment = program(domain)
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(command, env=environment, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    os.close(writing)
    assert ended.returncode == 1
    assert ended.stderr == "python -m installer: stopped, because the output was closed: run this again\n"


# Retention is asked for


def test_without_days_no_index_is_ever_deleted(domain: Domain, run: Run) -> None:
    domain.indices = {"cwl-1": (None, None)}
    for arguments in ((), ("--adopt",)):
        code, output, _ = run("install", *arguments, days=None)
        assert code == 0
        assert "retention policy prediction-monitor (no days are given, so no index is deleted): left alone" in output
    assert domain.policies == {}
    assert domain.indices == {"cwl-1": (None, None)}


def test_indices_that_are_there_come_under_it_only_where_that_is_asked_for(domain: Domain, run: Run) -> None:
    domain.indices = {"cwl-1": (None, None), "cwl-2": (None, None)}
    assert run("install")[0] == 0
    assert domain.indices == {"cwl-1": (None, None), "cwl-2": (None, None)}
    domain.indices["cwl-3"] = ("prediction-monitor", domain.sequence)
    _, output, _ = run("install", "--retention-days", "7")
    assert "retention: 1 cwl-* index is deleted 7d after being made" in output
    assert "retention policy prediction-monitor (deletes after 7d): replaced" in output
    assert "2 with no policy, kept for ever: --adopt (AdoptIndices) takes them too): replaced" in output
    assert domain.indices["cwl-3"] == ("prediction-monitor", domain.sequence)
    assert domain.indices["cwl-1"] == (None, None)


@pytest.mark.parametrize("dry", [True, False])
def test_what_is_going_to_be_deleted_is_said_before_anything_is_done(domain: Domain, run: Run, *, dry: bool) -> None:
    day = 86_400_000
    domain.indices = {f"cwl-{number}": (None, None) for number in range(3)}
    domain.made = {"cwl-0": NOON - 9 * day, "cwl-1": NOON - 8 * day, "cwl-2": NOON - day}
    seen: list[str] = []
    own = domain.answer

    def noted(request: Request) -> Reply:
        if "_ism" in request.path and request.method in {"PUT", "POST"}:
            seen.append(request.path)
        return own(request)

    with listening(noted) as url:
        _, output, _ = run("install", "--retention-days", "7", "--adopt", *(["--dry-run"] if dry else []), opensearch=url)
    first = datetime.fromtimestamp((NOON + 6 * day) / 1000, UTC)
    wanted = f"retention: 3 cwl-* indices are deleted 7d after being made, 2 of them from today on, the next on {first:%Y-%m-%d}"
    assert wanted in output.splitlines()
    assert bool(seen) is not dry


# Prefixes and stacks


def held(domain: Domain) -> dict[str, str]:
    """The contents of a domain, by name."""
    kinds = {"template": domain.templates, "policy": domain.policies, "role": domain.roles, "mapping": domain.mappings}
    found = {f"{kind} {name}": json.dumps(value) for kind, all_of_it in kinds.items() for name, value in all_of_it.items()}
    return found | {" ".join(key): json.dumps(value) for key, value in domain.objects.items()}


def test_a_second_stack_uses_what_the_first_owns_and_takes_only_its_own_with_it(domain: Domain, run: Run) -> None:
    first = "--stack", "prod", "--shipper-role", SHIPPER
    second = "--stack", "dev", "--shipper-role", SOMEBODY
    code, output, _ = run("install", *first)
    assert code == 0
    assert "index template prediction-monitor (prod owns it from now on): installed" in output
    before = held(domain)
    code, output, _ = run("install", *second, "--retention-days", "1", "--adopt")
    assert code == 0
    assert "index template prediction-monitor (the stack prod owns it): left alone" in output
    assert "retention policy prediction-monitor (deletes after 30d; the stack prod owns it): left alone" in output
    assert {name: value for name, value in held(domain).items() if name in before} == before
    assert {name for name in held(domain) if ".dev" in name} == {
        *(f"global {name}.dev" for name in NAMES),
        *(f"{kind} prediction-monitor-shipper.dev" for kind in ("role", "mapping")),
    }
    assert attributes(domain, "dashboard", "predictions.dev")["title"] == "Predictions (dev)"
    code, output, _ = run("remove", *second)
    assert code == 0
    assert "index template prediction-monitor: left alone" in output
    assert held(domain) == before


def test_the_next_stack_owns_what_nobody_owns_any_more(domain: Domain, run: Run) -> None:
    run("install", "--stack", "prod")
    run("install", "--stack", "dev")
    _, output, _ = run("remove", "--stack", "prod")
    assert "index template prediction-monitor: kept for the prefix, without an owner, and for dev" in output
    assert "prod no longer owns it; the next stack that installs does" in output
    assert "stack" not in domain.templates["prediction-monitor"]["_meta"]
    assert domain.policies
    code, output, _ = run("install", "--stack", "dev")
    assert code == 0
    assert "index template prediction-monitor (dev owns it from now on; an index that is there keeps its mapping): replaced" in output
    assert domain.templates["prediction-monitor"]["_meta"]["stack"] == "dev"


@pytest.mark.parametrize(("there", "asked"), [("cwl-", "cwl-dev-"), ("cwl-dev-", "cwl-"), ("a-", "a-b-c-")])
def test_prefixes_with_indices_in_common_are_refused(domain: Domain, run: Run, there: str, asked: str) -> None:
    run("install", "--stack", "prod", "--index-prefix", there)
    domain.writes.clear()
    code, _, errors = run("install", "--stack", "dev", "--index-prefix", asked)
    assert code == 1
    assert f"the index prefix {asked} does not go with {there}, which is installed here" in errors
    assert domain.writes == []


def test_a_prefix_of_its_own_has_everything_of_its_own(domain: Domain, run: Run) -> None:
    run("install", "--stack", "prod")
    before = held(domain)
    domain.indices = {"dev-cwl-1": (None, None)}
    assert run("install", "--stack", "dev", "--index-prefix", "dev-cwl-", "--shipper-role", SHIPPER, "--adopt")[0] == 0
    name = "prediction-monitor-dev-cwl-"
    assert domain.templates[name]["index_patterns"] == ["dev-cwl-*"]
    assert domain.policies[name]["policy"]["ism_template"][0]["index_patterns"] == ["dev-cwl-*"]
    assert domain.roles["prediction-monitor-shipper.dev"]["index_permissions"][0]["index_patterns"] == ["dev-cwl-*"]
    assert attributes(domain, "index-pattern", "cwl.dev")["title"] == "dev-cwl-*"
    assert domain.indices == {"dev-cwl-1": (name, domain.sequence)}
    assert {key: value for key, value in held(domain).items() if key in before} == before


def test_former_names_belong_to_whose_stamp_they_bear(domain: Domain, run: Run) -> None:
    run("install")
    pattern = attributes(domain, "index-pattern", "cwl")
    pattern["predictionMonitor"]["stack"] = "prod"  # as its update leaves it
    before = held(domain)
    code, _, errors = run("install")
    assert code == 1
    assert "belong to the stack prod here: give --stack prod, or your own" in errors
    run("install", "--stack", "dev")
    run("remove", "--stack", "dev")
    assert {key: value for key, value in held(domain).items() if "template" not in key} == {
        key: value for key, value in before.items() if "template" not in key
    }
    assert run("remove", "--stack", "prod")[0] == 0
    assert domain.objects == {}


FOREIGN = [
    {"@log_group": "/aws/lambda/checkout"},
    {"@log_group": "/aws/lambda/basket", "@stack": "somebody"},
    {},
]


def test_a_first_installation_beside_documents_of_others_ends_before_anything_is_written(domain: Domain, run: Run) -> None:
    domain.documents = [{"@log_group": "/aws/lambda/ours"}, *FOREIGN]
    for arguments in (("--stack", "prod"), ()):
        code, _, errors = run("install", *arguments, "--log-group", "/aws/lambda/ours")
        assert code == 1
        named = "/aws/lambda/checkout, /aws/lambda/basket, a group without a name"
        assert f"log groups that no stack here names: {named}. Template" in errors
        assert "Give an IndexPrefix (--index-prefix) of your own" in errors
        assert domain.writes == []
    domain.documents = [{"@log_group": "/aws/lambda/ours"}, {"@log_group": "other", "@stack": "prod"}]
    assert run("install", "--stack", "prod", "--log-group", "/aws/lambda/ours")[0] == 0
    domain.documents.append({"@log_group": "/aws/lambda/theirs"})
    assert run("install", "--stack", "dev", "--log-group", "/aws/lambda/theirs")[0] == 0  # prod's are known by its manifest


def test_an_update_beside_documents_of_others_goes_on_without_template_and_policy(domain: Domain, run: Run) -> None:
    run("install", "--stack", "prod")
    domain.documents = [*FOREIGN]
    del domain.objects["global", "dashboard", "predictions.prod"]
    domain.templates["prediction-monitor"]["priority"] = 1
    before = json.dumps([domain.templates, domain.policies])
    code, output, _ = run("install", "--stack", "prod", "--retention-days", "1")
    assert code == 0
    assert "from log groups that no stack here names: /aws/lambda/checkout" in output
    assert "index template prediction-monitor (left as it is, because others write here too): left alone" in output
    assert "dashboard predictions.prod: installed" in output
    assert json.dumps([domain.templates, domain.policies]) == before


def test_panels_ask_for_their_stack_and_for_what_was_before_stacks(domain: Domain, run: Run) -> None:
    run("install", "--stack", "prod")
    meta = attributes(domain, "search", "datatable.prod")["kibanaSavedObjectMeta"]
    query = json.loads(meta["searchSourceJSON"])["query"]["query"]
    assert query == 'traffic:live AND (@stack:"prod" OR (*:* AND NOT _exists_:@stack))'


# Objects of somebody else's dashboards, and Kibana's own changes


def theirs(kind: str, identifier: str) -> dict[str, Any]:
    references = [{"name": "panel_0", "type": kind, "id": identifier}]
    return {"type": "dashboard", "id": "theirs", "attributes": {"title": "Theirs"}, "references": references}


def test_remove_keeps_and_names_what_somebody_elses_dashboard_shows_unless_it_is_forced(domain: Domain, run: Run) -> None:
    run("install")
    domain.objects["global", "dashboard", "theirs"] = theirs("visualization", "labels")
    code, output, _ = run("remove")
    assert code == 0
    assert "visualization labels: kept, because the dashboard 'Theirs' shows it" in output
    assert "search datatable: kept for the objects that refer to it" in output
    assert "index-pattern cwl: kept for the objects that refer to it" in output
    assert "default index pattern: left alone, because the index pattern stays" in output
    assert "dashboard predictions: removed" in output
    assert domain.settings["defaultIndex"]["userValue"] == "cwl"
    run("remove", "--force")
    assert [key[2] for key in domain.objects] == ["theirs"]
    assert domain.settings == {}


def saved_by_kibana(domain: Domain) -> None:
    """What saving each object without a change adds, as seen on Kibana 7.10 and Dashboards 2.8."""
    bars = attributes(domain, "visualization", "labels")
    state = json.loads(bars["visState"])
    for aggregation in state["aggs"]:
        if aggregation["type"] == "date_histogram":
            aggregation["params"] |= {
                "timeRange": {"from": "now-15m", "to": "now"}, "useNormalizedOpenSearchInterval": True, "scaleMetricValues": False,
                "drop_partials": False, "extended_bounds": {},
            }  # fmt: skip
        if aggregation["type"] == "terms":
            aggregation["params"] |= {"otherBucket": False, "otherBucketLabel": "Other", "missingBucket": False}
            aggregation["params"]["missingBucketLabel"] = "Missing"
    bars["visState"] = json.dumps(state, indent=1)
    dashboard = domain.objects["global", "dashboard", "predictions"]
    panels = [panel | {"version": "2.8.0"} for panel in json.loads(dashboard["attributes"]["panelsJSON"])]
    dashboard["attributes"] |= {"panelsJSON": json.dumps(panels), "hits": 0, "version": 1, "optionsJSON": '{"useMargins":true}'}
    search = attributes(domain, "search", "datatable")
    source = json.loads(search["kibanaSavedObjectMeta"]["searchSourceJSON"]) | {"highlightAll": True, "version": True, "filter": []}
    search |= {"hits": 0, "version": 1, "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(source)}}


def test_saving_without_a_change_is_no_change_by_hand(domain: Domain, run: Run, folder: Path) -> None:
    path = folder / "visualization" / "labels.json"
    content = json.loads(path.read_text())
    content["attributes"]["visState"]["aggs"] = [
        {"id": "1", "type": "date_histogram", "schema": "segment", "params": {"field": "@timestamp", "interval": "auto"}},
        {"id": "2", "type": "terms", "schema": "group", "params": {"field": "traffic"}},
    ]
    path.write_text(json.dumps(content))
    run("install")
    saved_by_kibana(domain)
    domain.writes.clear()
    assert run("install")[0] == 0
    assert domain.writes == []
    content["attributes"]["title"] = "Newer"
    path.write_text(json.dumps(content))
    code, output, _ = run("install")
    assert code == 0
    assert "visualization labels: replaced" in output
    state = json.loads(attributes(domain, "visualization", "labels")["visState"])
    state["aggs"][0]["params"]["drop_partials"] = True
    attributes(domain, "visualization", "labels")["visState"] = json.dumps(state)
    assert "visualization labels: changed by hand\n" in run("status")[1]


# Domains that are not like ours


def test_a_domain_with_standby_gets_copies_in_multiples_of_its_zones(domain: Domain, run: Run) -> None:
    domain.cluster = {
        "defaults": {"cluster.routing.allocation.awareness.balance": "false"},
        "persistent": {
            "cluster.routing.allocation.awareness.balance": "true",
            "cluster.routing.allocation.awareness.force.zone.values": "a,b,c",
        },
    }
    run("install")
    assert domain.templates["prediction-monitor"]["template"]["settings"]["index.auto_expand_replicas"] == "0-2"
    assert run("status")[0] == 0
    domain.cluster = {}
    assert "index template prediction-monitor (an index that is there keeps its mapping): changed" in run("status")[1]


def test_where_the_settings_may_not_be_read_the_refusal_says_how_many_copies(domain: Domain, run: Run) -> None:
    reason = "expected max cap on auto expand to be a multiple of total awareness attributes [3]"
    refusal = Reply(400, {"error": {"type": "illegal_argument_exception", "reason": reason}, "status": 400})
    unread = Reply(403, {"error": {"type": "security_exception", "reason": "no permissions for [cluster:monitor/state]"}})
    domain.answers = {
        "/_cluster/settings": deque([unread] * 3),
        "/_index_template/prediction-monitor": deque([None, None, refusal]),
    }
    assert run("install")[0] == 0
    assert domain.templates["prediction-monitor"]["template"]["settings"]["index.auto_expand_replicas"] == "0-2"
    assert run("status")[0] == 0


def test_elasticsearch_has_retention_and_roles_below_its_own_path(domain: Domain, run: Run) -> None:
    domain.open_distro = True
    code, output, _ = run("install", "--shipper-role", SHIPPER)
    assert code == 0
    assert "retention policy prediction-monitor (deletes after 30d): installed" in output
    assert f"role prediction-monitor-shipper for {SHIPPER}: installed" in output
    assert isinstance(domain.policies["prediction-monitor"]["policy"]["ism_template"], dict)
    assert run("status", "--shipper-role", SHIPPER)[0] == 0
