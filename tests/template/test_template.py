"""Compare template.yaml, transformed by SAM, with the code that it deploys.

The tests also check which parameters may be given together.
"""

from __future__ import annotations

import ast
import re
import tomllib

import pytest
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

from local.template import load
from shipper.field_map import TARGETS
from tests.template.cloudformation import Resources, defaults, deployed, of_type, refusals
from tools.root import ROOT

FUNCTIONS = (
    "InferenceFunction",
    "ShipperFunction",
    "ReplayFunction",
    "KibanaFunction",
    "MonitorFunction",
    "CanaryFunction",
    "MessengerFunction",
    "ReportFunction",
)
EXISTING = {
    "OpenSearchEndpoint": "https://search-x.eu-west-1.es.amazonaws.com",
    "OpenSearchDomainArn": "arn",
}
VPC = {"Network": "vpc", "VpcId": "vpc-1", "VpcSubnetId": "subnet-1"}


@pytest.fixture(scope="module")
def resources() -> Resources:
    """Return the resources as CloudFormation gets them, for a stack with an existing domain."""
    return deployed({**EXISTING, "InstallKibana": "true", "Report": "true"})


def test_the_api_waits_longer_than_the_function_may_take(resources: Resources) -> None:
    longest_wait = 30  # seconds, a limit of HTTP APIs
    assert resources["InferenceFunction"]["Properties"]["Timeout"] < longest_wait


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_handler_exists_in_the_source(name: str) -> None:
    properties = load()["Resources"][name]["Properties"]
    *package, module, function = properties["Handler"].split(".")
    source = ROOT.joinpath(properties["CodeUri"], *package, f"{module}.py")
    (found,) = [
        node
        for node in ast.parse(source.read_text(encoding="utf-8")).body
        if getattr(node, "name", "") == function
    ]
    assert isinstance(found, ast.FunctionDef)
    assert [argument.arg for argument in found.args.args] == ["event", "context"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_built_by_its_makefile(name: str) -> None:
    resource = load()["Resources"][name]
    assert resource["Metadata"]["BuildMethod"] == "makefile"
    makefile = (ROOT / resource["Properties"]["CodeUri"] / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^(\S+ )*build-{name}( \S+)*:", makefile, re.MULTILINE)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_variable_is_read_by_the_function(resources: Resources, name: str) -> None:
    code = load()["Resources"][name]["Properties"]["CodeUri"]
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / code).rglob("*.py"))
    variables = resources[name]["Properties"].get("Environment", {}).get("Variables", {})
    assert [variable for variable in variables if f'"{variable}"' not in source] == []


def test_replay_and_shipper_have_the_same_settings_for_lines(resources: Resources) -> None:
    """The replay must redact and exclude the same lines as the shipper."""
    shipper, replay = (
        resources[name]["Properties"]["Environment"]["Variables"]
        for name in ("ShipperFunction", "ReplayFunction")
    )
    own = {
        "DEAD_LETTER_BUCKET": {"Ref": "DeadLetterBucket"},
        "EVENTS_PER_SECOND": {"Ref": "ReplayEventsPerSecond"},
    }
    assert replay == shipper | own
    assert {
        name: shipper[name]
        for name in ("OPENSEARCH_URL", "EXCLUDE", "REDACT_FIELDS", "REDACT_PATTERNS")
    } == {
        "OPENSEARCH_URL": {"Fn::GetAtt": ["Kibana", "OpenSearchUrl"]},
        "EXCLUDE": {"Ref": "Exclude"},
        "REDACT_FIELDS": {"Ref": "RedactFields"},
        "REDACT_PATTERNS": {"Ref": "RedactPatterns"},
    }
    assert shipper["REDACT_KEY"] == {"Fn::Sub": "{{resolve:secretsmanager:${HashKey}}}"}
    shipper_memory, replay_memory = (
        resources[name]["Properties"]["MemorySize"]
        for name in ("ShipperFunction", "ReplayFunction")
    )
    assert replay_memory >= 2 * shipper_memory  # the replay gets payloads too large for the shipper


@pytest.mark.parametrize(
    ("name", "accepted", "refused"),
    [
        pytest.param(
            "Exclude",
            ["", "platform", "text,object", "platform,metrics,object,text"],
            ["platfrom", "text,", "text, object"],
            id="kinds",
        ),
        pytest.param(
            "RedactFields",
            ["", "text=hash", "text=hash,user.email=drop"],
            ["text", "text=mask", "=drop", "a=drop,"],
            id="fields",
        ),
        pytest.param(
            "FieldMap",
            [
                "text=input",
                "prediction.label=label,prediction.score=out.confidence",
                "model.name=a,model.version=b",
            ],
            [
                "label=prediction.label",
                "text",
                "text=",
                "text=a,text=b",
                "traffic=a,text=b,traffic=c",
                "text=a, traffic=b",
                "prediction=a",
            ],
            id="map",
        ),
        pytest.param(
            "RedactPatterns",
            ["", "email", "email,number"],
            ["phone", "email,", "email number"],
            id="patterns",
        ),
        pytest.param(
            "IndexPrefix",
            ["dev-cwl-", "a-"],
            ["", "cwl", "Cwl-", "-cwl-", "cwl-*", "c" * 51 + "-"],
            id="prefix",
        ),
        pytest.param(
            "ReplaySchedule",
            ["rate(15 minutes)", "cron(0 * * * ? *)"],
            ["", "15 minutes", "rate()"],
            id="schedule",
        ),
    ],
)
def test_a_parameter_accepts_the_values_that_the_code_accepts(
    name: str, accepted: list[str], refused: list[str]
) -> None:
    """A parameter must refuse every value that the function would refuse at its start."""
    parameter = load()["Parameters"][name]
    assert [
        value
        for value in [parameter["Default"], *accepted]
        if not re.fullmatch(parameter["AllowedPattern"], value)
    ] == []
    assert [value for value in refused if re.fullmatch(parameter["AllowedPattern"], value)] == []


def test_the_installer_runs_again_if_its_code_changes(resources: Resources) -> None:
    """CloudFormation runs the installer again if a property changes, such as the code's version."""
    kibana = resources["Kibana"]["Properties"]
    (version,) = (
        name for name, _ in of_type(resources, "AWS::Lambda::Version") if name.startswith("Kibana")
    )
    assert kibana["Code"] == {"Ref": version}


def test_without_an_installer_the_shipper_uses_the_endpoint_of_the_parameter() -> None:
    variables = deployed(EXISTING)["ShipperFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["OPENSEARCH_URL"] == {"Ref": "OpenSearchEndpoint"}


def test_the_reserve_of_the_replay_is_less_than_half_of_its_time(resources: Resources) -> None:
    """In the reserve (the last part of its time), the replay takes no other dead letter."""
    source = (ROOT / "functions/shipper/shipper/replay.py").read_text(encoding="utf-8")
    # The file is read as text, because an import would run the start of the function.
    (reserve,) = re.findall(r"^RESERVE_SECONDS: Final = (\d+)", source, re.MULTILINE)
    assert 2 * int(reserve) < resources["ReplayFunction"]["Properties"]["Timeout"] <= 900


def test_every_parameter_is_used_and_described() -> None:
    source = load()
    text = (ROOT / "template.yaml").read_text()
    for name, parameter in source["Parameters"].items():
        assert parameter["Description"]
        assert f"!Ref {name}" in text or f"${{{name}}}" in text


@pytest.mark.parametrize(
    ("name", "accepted", "refused"),
    [
        (
            "OpenSearchEndpoint",
            ["https://search-x.eu-west-1.es.amazonaws.com/"],
            ["http://search-x.eu-west-1.es.amazonaws.com", "https://a.b"],
        ),
        (
            "OpenSearchDomainArn",
            ["arn:aws:es:eu-west-1:123456789012:domain/x"],
            ["arn:aws:es:eu-west-1:123456789012:domain/*", "x"],
        ),
        ("DomainVersion", ["OpenSearch_2.19"], ["", "2.19", "Elasticsearch_7.10"]),
        (
            "DomainInstanceType",
            ["r8g.large.search", "or1.2xlarge.search"],
            ["", "t3.small", "t3.small.elasticsearch"],
        ),
        ("VpcId", ["vpc-0a1b2c3d"], ["subnet-0a1b", "vpc-1,vpc-2"]),
        ("VpcSubnetId", ["subnet-0a1b2c3d"], ["subnet-1,subnet-2"]),
        (
            "LogGroups",
            ["/aws/lambda/a", "a,,c", ",b", "my-fn,myfn"],
            ["a, b", ",", "a:b", "/a/*", "a'b"],
        ),
        (
            "LogFilterPattern",
            ["", "?a ?b", "-c", '"two words"', "{ $.x = * }", "[a, b]"],
            ["{ $.x = *", "[a", " prediction", "x" * 1025],
        ),
        ("FunctionsSecurityGroupId", ["sg-0a1b"], ["vpc-1", "sg-1,sg-2"]),
        (
            "PermissionsBoundaryArn",
            ["arn:aws:iam::123456789012:policy/a/b", "arn:aws:iam::aws:policy/PowerUserAccess"],
            ["b", "arn:aws:iam::1:role/x"],
        ),
        ("RolePath", ["/delivery/", "/a/b/"], ["delivery", "/delivery", "//"]),
        (
            "KmsKeyArn",
            ["arn:aws:kms:eu-west-1:123456789012:key/mrk-1a"],
            ["arn:aws:kms:eu-west-1:123456789012:alias/mine", "1a2b"],
        ),
        ("MoreLogGroups", ["/aws/lambda/a", "a,/b/c,d,e,f"], ["a,", "a b", "a,b,c,d,e,f", "a'b"]),
        ("AlarmEmail", ["who@example.com"], ["who", "who@example", "a@b.c d@e.f"]),
        (
            "AlarmTopicArn",
            ["arn:aws:sns:eu-west-1:123456789012:alarms"],
            ["alarms", "arn:aws:sqs:eu-west-1:123456789012:alarms"],
        ),
        ("ShipperConcurrency", ["0", "5"], ["-1", "many"]),
        (
            "KibanaSecretArn",
            ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:a/b-1"],
            ["a/b-1"],
        ),
    ],
)
def test_a_parameter_accepts_the_values_that_aws_accepts(
    name: str, accepted: list[str], refused: list[str]
) -> None:
    parameter = load()["Parameters"][name]
    pattern = parameter["AllowedPattern"]
    longest = parameter.get("MaxLength", 4096)
    assert [
        value for value in [parameter["Default"], *accepted] if not re.fullmatch(pattern, value)
    ] == []
    assert [
        value for value in refused if re.fullmatch(pattern, value) and len(value) <= longest
    ] == []


def test_field_map_accepts_the_targets_that_the_shipper_knows() -> None:
    pattern = load()["Parameters"]["FieldMap"]["AllowedPattern"]
    assert re.fullmatch(
        pattern, ",".join(f"{target}=a{place}" for place, target in enumerate(TARGETS))
    )
    assert set(
        re.findall(r"[a-z_.]+", load()["Parameters"]["FieldMap"]["ConstraintDescription"])
    ) >= set(TARGETS)


@pytest.mark.parametrize(
    "given",
    [
        EXISTING,
        EXISTING | {"InstallKibana": "true", "KibanaSecretArn": "arn"},
        EXISTING | VPC,
        {"CreateDomain": "true"},
        {"CreateDomain": "true", "DomainInstanceCount": "2"},
        {"CreateDomain": "true"} | VPC,
        {"CreateDomain": "true", "DomainInstanceCount": "4", "VpcSecondSubnetId": "subnet-2"} | VPC,
    ],
)
def test_parameters_that_go_together_are_accepted(given: dict[str, str]) -> None:
    assert refusals(given) == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {},
            (
                "Give a domain for the documents - OpenSearchEndpoint and OpenSearchDomainArn of a "
                "domain, or CreateDomain=true."
            ),
        ),
        ({"OpenSearchEndpoint": "https://x"}, "Give a domain for the documents"),
        ({"OpenSearchDomainArn": "arn"}, "Give a domain for the documents"),
        (
            {"CreateDomain": "true", "OpenSearchEndpoint": "https://x"},
            "With CreateDomain=true the stack makes a domain",
        ),
        (
            {"CreateDomain": "true", "OpenSearchDomainArn": "arn"},
            "With CreateDomain=true the stack makes a domain",
        ),
        (
            {"CreateDomain": "true", "InstallKibana": "true", "KibanaSecretArn": "arn"},
            "With CreateDomain=true the stack makes a user for the installer",
        ),
        (EXISTING | {"KibanaSecretArn": "arn"}, "KibanaSecretArn is for the installer"),
        (EXISTING | {"Network": "vpc"}, "Network=vpc needs VpcId and VpcSubnetId."),
        (
            EXISTING | {"Network": "vpc", "VpcId": "vpc-1"},
            "Network=vpc needs VpcId and VpcSubnetId.",
        ),
        (
            EXISTING | {"Network": "vpc", "VpcSubnetId": "subnet-1"},
            "Network=vpc needs VpcId and VpcSubnetId.",
        ),
        (
            EXISTING | {"VpcId": "vpc-1"},
            "VpcId, the subnets and FunctionsSecurityGroupId need Network=vpc",
        ),
        (
            EXISTING | {"VpcSecondSubnetId": "subnet-2"},
            "VpcId, the subnets and FunctionsSecurityGroupId need Network=vpc",
        ),
        (
            EXISTING | {"FunctionsSecurityGroupId": "sg-1"},
            "VpcId, the subnets and FunctionsSecurityGroupId need Network=vpc",
        ),
        (
            EXISTING | {"AlarmTopicArn": "arn", "AlarmEmail": "who@example.com"},
            "AlarmEmail subscribes to the stack's own topic",
        ),
        (
            EXISTING | {"DriftEmail": "who@example.com"},
            "Only the monitor sends messages about drift",
        ),
        (EXISTING | {"DriftTopicArn": "arn"}, "Only the monitor sends messages about drift"),
        (
            {"CreateDomain": "true", "Monitor": "false", "DriftTopicArn": "arn"},
            "Only the monitor sends messages about drift",
        ),
        (EXISTING | {"AccuracyAlarm": "true"}, "Only the monitor computes the accuracy"),
        (
            {"CreateDomain": "true", "DomainInstanceCount": "2"} | VPC,
            "needs VpcSecondSubnetId too.",
        ),
    ],
)
def test_parameters_that_contradict_each_other_are_refused_in_one_sentence(
    given: dict[str, str], sentence: str
) -> None:
    (found,) = refusals(given)
    assert sentence in found


def test_rules_use_only_functions_that_are_permitted_in_rules() -> None:
    """A rule can use parameters, but not conditions and resources."""
    found = re.findall(r"'((?:Fn::|Ref|Condition)[^']*)': ?\[?\{?'?(\w*)", str(load()["Rules"]))
    assert {function for function, _ in found} <= {
        "Ref",
        "Fn::Equals",
        "Fn::Not",
        "Fn::And",
        "Fn::Or",
    }
    assert {name for function, name in found if function == "Ref"} <= set(defaults(load()))


@pytest.mark.parametrize("environment", ["default", "dev", "prod"])
def test_the_parameters_of_an_environment_exist_and_are_consistent(
    environment: str,
) -> None:
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))[environment]
    assert settings["global"]["parameters"]["stack_name"].startswith("prediction-monitor")
    given = dict(
        each.split("=", 1)
        for each in settings["deploy"]["parameters"].get("parameter_overrides", [])
    )
    parameters = load()["Parameters"]
    for name, value in given.items():
        parameter = parameters[name]
        assert re.fullmatch(parameter.get("AllowedPattern", ".*"), value)
        assert value in map(str, parameter.get("AllowedValues", [value]))
        assert str(parameter["Default"]) != value
    assert refusals(given or EXISTING) == []
    tags = dict(each.split("=") for each in settings["deploy"]["parameters"]["tags"])
    assert tags == {"Application": "prediction-monitor"} | (
        {} if environment == "default" else {"Environment": environment}
    )


def test_environments_have_stacks_of_their_own() -> None:
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    names = [
        each["global"]["parameters"]["stack_name"]
        for name, each in settings.items()
        if name != "version"
    ]
    assert len(set(names)) == len(names) == 3


def test_the_parameter_groups_list_each_parameter_once_in_template_order() -> None:
    """CloudFormation's console shows the groups; `sam deploy --guided` asks in template order."""
    source = load()
    groups = source["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert [name for group in groups for name in group["Parameters"]] == list(source["Parameters"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # samcli causes these warnings
def test_sam_local_finds_the_routes_and_their_function() -> None:
    """`sam local` has two limits.

    It reads routes only if one of them is before the first function in the template. It finds an
    alias only by the alias's ARN.
    """
    ((stack,), _) = SamLocalStackProvider.get_stacks(
        str(ROOT / "template.yaml"), parameter_overrides=EXISTING
    )
    routes = ApiProvider([stack], cwd=str(ROOT)).api.routes
    assert {(route.path, tuple(route.methods), route.function_name) for route in routes} == {
        ("/predict", ("POST",), "InferenceFunction"),
        ("/feedback", ("POST",), "InferenceFunction"),
    }
