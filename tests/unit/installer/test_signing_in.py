from __future__ import annotations

import json
from collections import deque
from pathlib import Path

import pytest

from installer.__main__ import main
from installer.address import PASSWORD, address
from installer.dashboards_api import place
from installer.server import UserError, sign_in
from tests.unit.installer.conftest import NAMES, STATE, Run
from tests.unit.installer.domain import Domain, Reply


def test_a_tenant_has_objects_of_its_own_and_is_in_the_links(domain: Domain, run: Run) -> None:
    domain.tenants = {"global_tenant": True, "mlops": True}
    code, output, _ = run("install", "--tenant", "mlops")
    assert code == 0
    assert {tenant for tenant, _, _ in domain.objects} == {"mlops"}
    assert f"/app/dashboards?security_tenant=mlops#/view/predictions?{STATE}" in output


@pytest.mark.parametrize(
    ("tenants", "sentence"),
    [
        (
            {"global_tenant": True, "jane": True},
            "you have no tenant 'mlops' (your tenants: global_tenant, jane): create this tenant",
        ),
        (None, "has no tenants: leave --tenant out"),
    ],
)
def test_a_tenant_that_does_not_exist_is_reported_before_anything_is_written(
    domain: Domain, run: Run, tenants: dict[str, bool] | None, sentence: str
) -> None:
    domain.tenants = tenants
    code, _, errors = run("install", "--tenant", "mlops")
    assert code == 1
    assert sentence in errors
    assert domain.writes == []


def test_user_and_password_are_sent_with_every_request(
    domain: Domain, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain.login = ("jane", "pässword")
    monkeypatch.setenv(PASSWORD, "pässword")
    assert run("install", "--user", "jane")[0] == 0
    assert domain.objects


def test_a_wrong_password_is_reported_in_one_sentence(
    domain: Domain, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain.login = ("jane", "right")
    monkeypatch.setenv(PASSWORD, "wrong")
    code, _, errors = run("install", "--user", "jane")
    assert code == 1
    assert (
        "does not accept the user (401: Unauthorized): check name and password (--user with "
        "OPENSEARCH_PASSWORD" in errors
    )
    assert "wrong" not in errors


ADDRESSES = [
    (
        "https://d.eu-west-1.es.amazonaws.com/",
        None,
        None,
        "https://d.eu-west-1.es.amazonaws.com/_dashboards",
    ),
    (
        "https://d.eu-west-1.es.amazonaws.com",
        None,
        "_plugin/kibana/",
        "https://d.eu-west-1.es.amazonaws.com/_plugin/kibana",
    ),
    ("http://127.0.0.1:9200", None, None, None),
    (None, "http://127.0.0.1:5601/", None, "http://127.0.0.1:5601"),
    ("http://127.0.0.1:9200", "http://127.0.0.1:5601", "/kibana", "http://127.0.0.1:5601/kibana"),
]


@pytest.mark.parametrize(("opensearch", "dashboards", "base_path", "expected"), ADDRESSES)
def test_the_address_of_dashboards_is_given_or_derived_from_the_domain(
    opensearch: str | None, dashboards: str | None, base_path: str | None, expected: str | None
) -> None:
    first, second = (address(text) if text else None for text in (opensearch, dashboards))
    found = place(first, second, base_path)
    assert (found and found.url) == expected


def test_a_login_in_one_address_is_sent_with_every_request_and_is_never_shown(
    domain: Domain, run: Run
) -> None:
    domain.login = ("jane", "p/ss@wörd")
    url = domain.url.replace("//", "//jane:p%2Fss%40w%C3%B6rd@")
    code, output, errors = run("install", opensearch=f" {url}/ ")
    assert (code, errors) == (0, "")
    assert domain.objects
    assert "w%C3" not in output


def test_saved_objects_can_be_exported_if_dashboards_has_a_sign_in_page(
    domain: Domain, run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = "https://prod.auth.eu-west-1.amazoncognito.com/oauth2/authorize?client_id=x"
    domain.answers["/_dashboards"] = deque(
        [Reply(302, "", "text/html", (("location", target),))] * 9
    )
    code, output, errors = run("install", "--stack", "prod")
    assert code == 0
    assert (
        "on a page of Cognito, which no command can use: write the saved objects into a file"
        in errors
    )
    assert "saved objects: left out" in output
    assert domain.templates
    domain.answers.clear()
    assert main(["export", "--stack", "prod"], folder) == 0
    lines = capsys.readouterr().out.splitlines()
    for one in map(json.loads, lines):
        domain.objects["global", one["type"], one["id"]] = one
    assert {f"{kind} {identifier}" for _, kind, identifier in domain.objects} == {
        f"{name}.prod" for name in NAMES
    }
    domain.writes.clear()
    assert run("install", "--stack", "prod", days=None)[0] == 0
    # This request sets the default index pattern.
    assert domain.writes == ["POST /_dashboards/api/opensearch-dashboards/settings"]


def test_dashboards_of_an_amazon_domain_can_be_left_out(domain: Domain, run: Run) -> None:
    code, output, _ = run("install", "--no-dashboards")
    assert code == 0
    assert "saved objects: left out" in output
    assert domain.objects == {}


def test_requests_to_an_amazon_domain_are_signed_for_its_region(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import requests

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    url = "https://search-d.eu-south-2.es.amazonaws.com"
    session = requests.Session()
    session.auth = sign_in(address(url))
    request = session.prepare_request(
        requests.Request("PUT", url + "/_index_template/prediction-monitor", json={})
    )
    authorization = str(request.headers["Authorization"])
    assert "AKIAEXAMPLE/" in authorization
    assert "/eu-south-2/es/aws4_request" in authorization
    assert request.headers["x-amz-security-token"] == "token"
    mine = "https://search.example.com"
    own = session.prepare_request(
        requests.Request("GET", mine, auth=sign_in(address(mine), "eu-west-1"))
    )
    assert "/eu-west-1/es/aws4_request" in str(own.headers["Authorization"])


def test_without_aws_credentials_no_request_is_sent_to_an_amazon_domain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_PROFILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"no AWS credentials .*: set AWS_PROFILE, or give --user"):
        sign_in(address("https://search-d.eu-west-1.es.amazonaws.com"))


def test_an_aws_profile_that_does_not_exist_is_reported_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    with pytest.raises(
        UserError,
        match=r"AWS credentials cannot be read \(.*nowhere.*\): sign in to AWS, or set AWS_PROFILE",
    ):
        sign_in(address("https://search-d.eu-west-1.es.amazonaws.com"))
