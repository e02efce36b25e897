from __future__ import annotations

import json

import pytest

from tests.unit.installer.conftest import NAMES, SHIPPER, SOMEBODY, Run, attributes
from tests.unit.installer.domain import Domain


def held(domain: Domain) -> dict[str, str]:
    """Return the contents of a domain, by name."""
    kinds = {
        "template": domain.templates,
        "policy": domain.policies,
        "role": domain.roles,
        "mapping": domain.mappings,
    }
    found = {
        f"{kind} {name}": json.dumps(value)
        for kind, all_of_it in kinds.items()
        for name, value in all_of_it.items()
    }
    return found | {" ".join(key): json.dumps(value) for key, value in domain.objects.items()}


def test_a_second_stack_shares_template_and_policy_and_removes_only_its_own_parts(
    domain: Domain, run: Run
) -> None:
    first = "--stack", "prod", "--shipper-role", SHIPPER
    second = "--stack", "dev", "--shipper-role", SOMEBODY
    code, output, _ = run("install", *first)
    assert code == 0
    assert "index template prediction-monitor (prod owns it from now on): installed" in output
    before = held(domain)
    code, output, _ = run("install", *second, "--retention-days", "1", "--adopt")
    assert code == 0
    assert "index template prediction-monitor (the stack prod owns it): left alone" in output
    assert (
        "retention policy prediction-monitor (deletes after 30d; the stack prod owns it): left "
        "alone" in output
    )
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


def test_a_template_that_lost_its_owner_belongs_to_the_next_stack_that_installs(
    domain: Domain, run: Run
) -> None:
    run("install", "--stack", "prod")
    run("install", "--stack", "dev")
    _, output, _ = run("remove", "--stack", "prod")
    assert (
        "index template prediction-monitor: kept, because the indices with this prefix need it, "
        "and so do other stacks (dev); no stack owns it now" in output
    )
    assert "prod no longer owns it; the next stack that installs will own it" in output
    assert "stack" not in domain.templates["prediction-monitor"]["_meta"]
    assert domain.policies
    code, output, _ = run("install", "--stack", "dev")
    assert code == 0
    assert (
        "index template prediction-monitor (dev owns it from now on; an existing index keeps "
        "its mapping): replaced" in output
    )
    assert domain.templates["prediction-monitor"]["_meta"]["stack"] == "dev"


@pytest.mark.parametrize(
    ("there", "asked"), [("cwl-", "cwl-dev-"), ("cwl-dev-", "cwl-"), ("a-", "a-b-c-")]
)
def test_prefixes_with_indices_in_common_are_refused(
    domain: Domain, run: Run, there: str, asked: str
) -> None:
    run("install", "--stack", "prod", "--index-prefix", there)
    domain.writes.clear()
    code, _, errors = run("install", "--stack", "dev", "--index-prefix", asked)
    assert code == 1
    assert f"the index prefix {asked} overlaps with {there}, which is installed here" in errors
    assert domain.writes == []


def test_another_prefix_has_its_own_template_policy_and_objects(domain: Domain, run: Run) -> None:
    run("install", "--stack", "prod")
    before = held(domain)
    domain.indices = {"dev-cwl-1": (None, None)}
    assert (
        run(
            "install",
            "--stack",
            "dev",
            "--index-prefix",
            "dev-cwl-",
            "--shipper-role",
            SHIPPER,
            "--adopt",
        )[0]
        == 0
    )
    name = "prediction-monitor-dev-cwl-"
    assert domain.templates[name]["index_patterns"] == ["dev-cwl-*"]
    assert domain.policies[name]["policy"]["ism_template"][0]["index_patterns"] == ["dev-cwl-*"]
    assert domain.roles["prediction-monitor-shipper.dev"]["index_permissions"][0][
        "index_patterns"
    ] == ["dev-cwl-*"]
    assert attributes(domain, "index-pattern", "cwl.dev")["title"] == "dev-cwl-*"
    assert domain.indices == {"dev-cwl-1": (name, domain.sequence)}
    assert {key: value for key, value in held(domain).items() if key in before} == before


def test_parts_with_plain_names_belong_to_the_stack_that_the_manifest_names(
    domain: Domain, run: Run
) -> None:
    """A plain name contains no stack. The manifest is an attribute of the index pattern."""
    run("install")
    pattern = attributes(domain, "index-pattern", "cwl")
    pattern["predictionMonitor"]["stack"] = "prod"  # an update of prod writes this
    before = held(domain)
    code, _, errors = run("install")
    assert code == 1
    assert "belong to the stack prod: give --stack prod, or the name of your own stack" in errors
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


def test_a_first_installation_refuses_indices_with_documents_of_others(
    domain: Domain, run: Run
) -> None:
    domain.documents = [{"@log_group": "/aws/lambda/ours"}, *FOREIGN]
    for arguments in (("--stack", "prod"), ()):
        code, _, errors = run("install", *arguments, "--log-group", "/aws/lambda/ours")
        assert code == 1
        named = "/aws/lambda/checkout, /aws/lambda/basket, a group without a name"
        assert f"log groups that belong to no installed stack: {named}. Template" in errors
        assert "Give an IndexPrefix (--index-prefix) of your own" in errors
        assert domain.writes == []
    domain.documents = [
        {"@log_group": "/aws/lambda/ours"},
        {"@log_group": "other", "@stack": "prod"},
    ]
    assert run("install", "--stack", "prod", "--log-group", "/aws/lambda/ours")[0] == 0
    domain.documents.append({"@log_group": "/aws/lambda/theirs"})
    # The log groups of prod are known from the manifest of prod.
    assert run("install", "--stack", "dev", "--log-group", "/aws/lambda/theirs")[0] == 0


def test_an_update_does_not_change_template_and_policy_if_others_write_to_the_indices(
    domain: Domain, run: Run
) -> None:
    run("install", "--stack", "prod")
    domain.documents = [*FOREIGN]
    del domain.objects["global", "dashboard", "predictions.prod"]
    domain.templates["prediction-monitor"]["priority"] = 1
    before = json.dumps([domain.templates, domain.policies])
    code, output, _ = run("install", "--stack", "prod", "--retention-days", "1")
    assert code == 0
    assert "from log groups that belong to no installed stack: /aws/lambda/checkout" in output
    assert (
        "index template prediction-monitor (left as it is, because others write to these indices "
        "too): left alone" in output
    )
    assert "dashboard predictions.prod: installed" in output
    assert json.dumps([domain.templates, domain.policies]) == before


def test_panels_show_documents_of_their_stack_and_documents_without_a_stack(
    domain: Domain, run: Run
) -> None:
    run("install", "--stack", "prod")
    meta = attributes(domain, "search", "datatable.prod")["kibanaSavedObjectMeta"]
    query = json.loads(meta["searchSourceJSON"])["query"]["query"]
    assert query == 'traffic:live AND (@stack:"prod" OR (*:* AND NOT _exists_:@stack))'
