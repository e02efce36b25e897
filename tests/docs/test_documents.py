"""Tests that commands, files, figures and answers in the documents are correct."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from samcli.cli.types import CfnParameterOverridesType

from cost import estimate, prices
from cost.__main__ import total
from inference.classifier import Classifier
from local import picture
from local.ship_lines import panels_of_fields
from local.template import load
from tools.root import ROOT

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "training/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
TEXTS = {path: path.read_text() for path in DOCUMENTS}
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


def test_every_folder_has_a_line_in_contributing() -> None:
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    folders = {name.split("/")[0] for name in files if "/" in name and not name.startswith(".")}
    folders |= {"/".join(name.split("/")[:2]) for name in files if name.startswith("functions/")}
    described = set(re.findall(r"^\| .*\]\(([\w/]+)\)", TEXTS[CONTRIBUTING], re.MULTILINE))
    assert folders - {"functions"} - described == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_make_target_in_a_document_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", TEXTS[path], re.MULTILINE))
    assert named or path.name == "kinesis.md"  # the only document without a target
    assert named <= targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_file_in_a_document_exists(path: Path) -> None:
    linked = {
        target.partition("#")[0] for target in re.findall(r"\]\(((?!https?:)[^)]+)\)", TEXTS[path])
    }
    assert linked
    assert not [target for target in linked if not (path.parent / target).exists()]
    named = re.findall(r"(?:events|kibana|functions|tests|requirements)/[\w./-]+", TEXTS[path])
    assert not [name for name in named if not (ROOT / name.rstrip("./")).exists()]


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_no_document_has_a_placeholder_that_nobody_replaced(path: Path) -> None:
    assert not re.search(r"^[A-Z]{3,}$|TODO|FIXME", TEXTS[path], re.MULTILINE)


def test_every_test_in_a_document_exists() -> None:
    named = [
        found
        for text in TEXTS.values()
        for found in re.findall(r"`(tests/[\w./]+\.py)::(\w+)`", text)
    ]
    assert named
    assert [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text()] == []


def test_the_resources_and_events_in_sam_commands_exist() -> None:
    resources = load()["Resources"]
    commands = re.findall(r"sam local invoke (\w+) -e ([\w/.-]+)", TEXTS[ROOT / "docs/deploy.md"])
    assert len(commands) == 2
    for function, event in commands:
        assert resources[function]["Type"] == "AWS::Serverless::Function"
        json.loads((ROOT / event).read_text())


def test_sam_reads_the_overrides_in_documents_as_intended() -> None:
    template, text = load(), TEXTS[ROOT / "docs/deploy.md"]
    shown = re.findall(r"--parameter-overrides '(.+)'$", text, re.MULTILINE) + re.findall(
        r"string: `'(.+?)'`", text
    )
    assert len(shown) == 2
    for each in shown:
        given = CfnParameterOverridesType().convert((each,), None, None)
        assert given["ReplaySchedule"] == "rate(5 minutes)"
        assert given.get("IndexRetentionDays", "") == ""
        assert [
            name
            for name, value in given.items()
            if not re.fullmatch(template["Parameters"][name]["AllowedPattern"], value)
        ] == []


def test_every_parameter_is_documented_in_the_order_of_the_console() -> None:
    template = load()
    expected = []
    for group in template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]:
        expected.append(group["Label"]["default"])
        for name in group["Parameters"]:
            parameter = template["Parameters"][name]
            default = str(parameter["Default"])
            expected.append(
                (name, f"`{default}`" if default else "empty", parameter["Description"].strip())
            )
    section = (
        TEXTS[ROOT / "docs/deploy.md"].partition("## Every parameter\n")[2].partition("\n## ")[0]
    )
    found = re.findall(r"^### (.+)$|^\| `(\w+)` \| (.+?) \| (.+) \|$", section, re.MULTILINE)
    assert [
        heading or (name, default, description) for heading, name, default, description in found
    ] == expected
    assert sorted(entry[0] for entry in expected if isinstance(entry, tuple)) == sorted(
        template["Parameters"]
    )


def test_the_topic_policy_in_the_document_equals_the_policy_of_the_stack() -> None:
    (shown,) = re.findall(r"```json\n(.+?)```", TEXTS[ROOT / "docs/deploy.md"], re.DOTALL)
    resources = load()["Resources"]
    (own,) = resources["AlarmTopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    names = {
        "AWS::Partition": "aws",
        "AWS::Region": "REGION",
        "AWS::AccountId": "ACCOUNT",
        "AlarmTopic": "arn:aws:sns:REGION:ACCOUNT:TOPIC",
    }

    def filled(value: Any) -> Any:
        if isinstance(value, dict) and value.keys() == {"Ref"}:
            return names[value["Ref"]]
        if isinstance(value, dict) and value.keys() == {"Fn::Sub"}:
            return re.sub(r"\$\{(.+?)\}", lambda found: names[found[1]], value["Fn::Sub"])
        return (
            {name: filled(part) for name, part in value.items()}
            if isinstance(value, dict)
            else value
        )

    assert json.loads(shown) == filled(own)


def test_the_document_states_the_numbers_from_which_the_cost_is_computed() -> None:
    text = " ".join(
        TEXTS[ROOT / "docs/deploy.md"]
        .partition("## What it costs\n")[2]
        .partition("\n## ")[0]
        .split()
    )
    small, medium, large = (size.lines_a_payload for size in estimate.SIZES)
    second = round(estimate.SIZES[-1].predictions_a_day / 86_400)
    alone = [
        total(estimate.bill(replace(size, lines_a_payload=1), prices.read()))
        for size in estimate.SIZES
    ]
    for said in (
        (
            f"If each payload had one line, the medium size would cost {alone[1]:,.0f}, "
            f"the large {alone[2]:,.0f}"
        ),
        f"For each request, the inference function logs {estimate.INFERENCE_LOG_BYTES:,} bytes",
        f"For each payload, the shipper logs {estimate.SHIPPER_LOG_BYTES:,} bytes",
        f"a document takes {estimate.DOCUMENT_BYTES:,} bytes",
        f"{estimate.HOURS} hours",
        f"{estimate.INFERENCE_MS} ms with 1 GB of memory for a request",
        (
            f"{estimate.SHIPPER_MS} ms with 1 GB of memory for a payload, and "
            f"{estimate.SHIPPER_MS_A_LINE} ms longer for each line"
        ),
        (
            f"{small} line into a payload in the small size, {medium} in the medium, "
            f"{large} in the large"
        ),
        f"{estimate.REPLAY_MS:,} ms with 2 GB of memory for a replay",
        f"{estimate.MONITOR_MS:,} ms with 1 GB of memory for a run of the monitor",
        f"{estimate.CANARY_MS:,} ms with 0.5 GB of memory for a run of the canary",
        (
            f"{estimate.API_LOG_BYTES} bytes for a line of the access log, "
            f"{estimate.LINE_BYTES} bytes more for each line"
        ),
        (
            f"kept for {estimate.LOG_RETENTION_DAYS} days, "
            f"and are compressed to {estimate.COMPRESSED} of their size"
        ),
        f"{estimate.CUSTOM_METRICS} custom metrics",
        f"{estimate.ALARM_METRICS} alarms",
        f"{estimate.ANSWER_BYTES} bytes for an answer",
        f"{estimate.EMAILS} mails",
        f"{estimate.INDEX_RETENTION_DAYS + 1} days of it",
        f"{estimate.FREE_SHARE:.0%}".replace("%", " %") + " of the disk left free",
        f"{second} requests a second",
    ):
        assert said in text


def test_the_figures_in_the_documents_equal_those_in_the_card_of_the_model() -> None:
    card = json.loads((ROOT / "functions/inference/model/card.json").read_text())
    for name in ("matthews", "accuracy", "calibration_error"):
        figure = (
            f"{card['figures'][name]:.2f}"
            if name != "calibration_error"
            else f"{card['figures'][name]:.3f}"
        )
        assert figure in TEXTS[ROOT / "docs/model.md"], name
        assert figure in TEXTS[ROOT / "training/README.md"], name


def test_the_shown_output_belongs_to_the_sample_requests() -> None:
    shown = TEXTS[ROOT / "docs/local.md"]
    bodies = json.loads((ROOT / "events/requests.json").read_text())
    sentences = [
        sentence for body in bodies for sentence in body.get("sentences", [body.get("sentence")])
    ]
    assert f"{len(sentences)} predictions, {len(sentences)} documents found" in shown
    assert all(sentence in shown for sentence in sentences)


def test_the_readme_is_short_and_shows_a_part_of_the_full_output() -> None:
    readme = TEXTS[ROOT / "README.md"]
    assert len(readme.split()) <= 1000
    output = re.findall(r"^(?:sending|\u2502|log lines:|\d+ predictions).+$", readme, re.MULTILINE)
    assert len(output) == 5
    assert [line for line in output if line not in TEXTS[ROOT / "docs/local.md"]] == []


def test_the_picture_is_drawn_from_the_recorded_view() -> None:
    assert picture.PICTURE.read_text(encoding="utf-8") == picture.draw(
        json.loads(picture.VIEW.read_text(encoding="utf-8"))
    )


def test_the_environment_of_sam_local_has_the_variables_of_the_functions() -> None:
    environment = json.loads((ROOT / "events/env.json").read_text())
    for function, variables in environment.items():
        assert set(variables) == set(
            load()["Resources"][function]["Properties"]["Environment"]["Variables"]
        )


def test_every_pinned_package_has_a_hash_and_no_lock_contains_a_url() -> None:
    files = [
        *(ROOT / "requirements").glob("*.txt"),
        *(ROOT / "functions").glob("*/requirements.txt"),
    ]
    assert len(files) >= 7
    for path in files:
        text = path.read_text()
        assert "://" not in text
        pins = re.findall(r"^[a-z0-9].*==.*\n.*", text, re.MULTILINE)
        assert pins
        assert all("--hash=sha256:" in pin.splitlines()[1] for pin in pins)


@pytest.mark.example
def test_the_answers_in_the_document_equal_those_of_the_model() -> None:
    classifier = Classifier(ROOT / "functions/inference/model")
    rows = re.findall(
        r"^\u2502 (.+?) +\u2502 (\S+) +\u2502 (0\.\d{3}) \u2502 [0-9a-f]{32} \u2502$",
        TEXTS[ROOT / "docs/local.md"],
        re.MULTILINE,
    )
    assert len(rows) == 13
    for sentence, label, score in rows:
        prediction = classifier.predict(sentence)
        assert prediction.label == label, sentence
        assert prediction.score == pytest.approx(float(score), abs=0.01), sentence


def test_the_figures_in_the_document_equal_the_results_of_the_bench() -> None:
    rows = {
        row["name"]: row for row in json.loads((ROOT / "bench/results.json").read_text())["rows"]
    }
    cost = TEXTS[ROOT / "docs/performance.md"].partition("## Shipping")[2].partition("## ")[0]
    for name, shown in {
        "1,000 records: shipper / floor": "{:.2f}",
        "10,000 records: shipper / floor": "{:.2f}",
        "10,000 records: shipper / floor + isal": "{:.1f}",
        "1,000 records: usual way / shipper": "{:.1f}",
        "10,000 records: usual way / shipper": "{:.1f}",
        "1,000 records: usual way + gzip / shipper": "{:.1f}",
        "10,000 records: usual way + gzip / shipper": "{:.1f}",
        "import: shipper.handler / opensearchpy": "{:.2f}",
    }.items():
        assert shown.format(rows[name]["ratio"]) in cost, name
    assert f"{rows['package size']['value']:.1f} MiB" in cost
    assert f"{rows['peak memory: shipper / payload']['value']:.0f} MiB" in cost


def test_the_document_lists_the_panels_that_show_each_field() -> None:
    contract = json.loads((ROOT / "events" / "prediction.json").read_text())["fields"]
    panels = {title: fields for title, fields in panels_of_fields() if title != "Documents by kind"}
    assert {title for titles in contract.values() for title in titles} == panels.keys()
    for name, titles in contract.items():
        assert [title for title in titles if name not in panels[title]] == []
    section = (
        TEXTS[ROOT / "docs/record.md"]
        .partition("## Records of your own function")[2]
        .partition("\n## ")[0]
    )
    rows = [
        [cell.strip() for cell in row.split("|")]
        for row in re.findall(r"^\|(.+)\|$", section, re.MULTILINE)
    ]
    shown = {name: row[1].split(", ") for row in rows for name in contract if f"`{name}`" in row[0]}
    assert shown == contract
