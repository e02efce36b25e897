from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.filter_pattern import LONGEST, PatternRefused, matches, parse

TABLE = json.loads(Path(__file__).with_name("filter_patterns.json").read_text(encoding="utf-8"))
WEB = '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'


@pytest.mark.parametrize("case", TABLE["cases"], ids=[case["pattern"] for case in TABLE["cases"]])
def test_a_pattern_matches_the_lines_that_should_pass_and_no_other_lines(
    case: dict[str, Any],
) -> None:
    pattern = parse(case["pattern"])
    assert {line: pattern.why_not(line) for line in case["passes"]} == dict.fromkeys(case["passes"])
    for line in case["fails"]:
        why = pattern.why_not(line)
        assert why
        assert "\n" not in why


@pytest.mark.parametrize(
    "case", TABLE["refused"], ids=[case["pattern"] for case in TABLE["refused"]]
)
def test_a_pattern_that_cloudwatch_refuses_is_refused_with_a_sentence(case: dict[str, Any]) -> None:
    with pytest.raises(PatternRefused, match=re.escape(case["says"])) as refused:
        parse(case["pattern"])
    assert case["pattern"] in str(refused.value)


def test_a_pattern_that_is_too_long_for_cloudwatch_is_refused() -> None:
    assert matches("x" * LONGEST, "x" * LONGEST)
    with pytest.raises(PatternRefused, match="1025 characters"):
        parse("x" * (LONGEST + 1))


@pytest.mark.parametrize(
    ("pattern", "line", "why"),
    [
        ("prediction", "x", "it has no 'prediction'"),
        ("-x", "x", "it has 'x', which the pattern excludes"),
        ("?a ?b", "x", "it has none of 'a', 'b'"),
        (
            '{ $.a = "x" }',
            "x",
            "it is no JSON object, but the pattern is for the fields of a JSON object",
        ),
        ('{ $.a = "x" }', "{}", "$.a is not there"),
        ('{ $.a = "x" }', '{"a": "y"}', '$.a = "x" does not fit, because $.a is "y"'),
        (
            '{ $.a = "x" || $.b > 5 }',
            '{"a": "y", "b": 5}',
            '$.a = "x" does not fit, because $.a is "y"; $.b > 5 does not fit, because $.b is 5',
        ),
        ('{ $.a = "x" }', '{"a": {}}', "$.a is an object, not a value"),
        ("{ $.a IS TRUE }", '{"a": 1}', "$.a IS TRUE does not fit, because $.a is 1"),
        ("[a, b]", "x", "it has 1 fields, and the pattern needs 2"),
        ("[a, ..., b = 5]", "x 6", 'b = 5 does not fit, because b is "6"'),
    ],
)
def test_a_pattern_says_why_a_line_does_not_pass(pattern: str, line: str, why: str) -> None:
    assert parse(pattern).why_not(line) == why


@pytest.mark.parametrize(
    ("pattern", "fields"),
    [
        (
            "[ip, ..., status = 4*, bytes]",
            {
                "ip": "127.0.0.1",
                "2": "-",
                "3": "frank",
                "4": "10/Oct/2000:13:25:15 -0700",
                "5": "GET /index.html HTTP/1.0",
                "status": "404",
                "bytes": "1534",
            },
        ),
        (
            "[ip, ...,]",
            {
                "ip": "127.0.0.1",
                "2": "-",
                "3": "frank",
                "4": "10/Oct/2000:13:25:15 -0700",
                "5": "GET /index.html HTTP/1.0",
                "6": "404",
                "7": "1534",
            },
        ),
        ("[a, b]", None),
        ("GET", None),
        ("", None),
    ],
)
def test_a_space_delimited_pattern_extracts_fields(
    pattern: str, fields: dict[str, str] | None
) -> None:
    assert parse(pattern).extract(WEB) == fields


PIECES = st.sampled_from(
    [*'{}[]()$.a1 ="%*,-?!<>&|\\', "{ $.a = ", " }", "...", "&&", "||", "$.a", "%a%"]
)


@given(st.lists(PIECES).map("".join), st.text())
def test_any_text_is_read_as_a_pattern_or_refused(pattern: str, line: str) -> None:
    try:
        read = parse(pattern)
    except PatternRefused:
        return
    assert read.why_not(line) is None or "\n" not in str(read.why_not(line))
    read.extract(line)
