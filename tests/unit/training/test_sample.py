"""Tests that samples are read in every format, or refused with a message.

A sample is divided into the parts `fit` and `rest`.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tools.errors import UserError
from training.sample import cost, read, texts

LABELS = ["no", "a.b"]
TEXTS = [f'text "{at}", with a comma' for at in range(300)]


def write(path: Path, *, column: str = "text", label: str | None = "label") -> Path:
    rows = [
        {column: text, **({label: LABELS[at % 2]} if label else {})}
        for at, text in enumerate(TEXTS)
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        match path.suffix:
            case ".csv":
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
            case ".tsv":
                file.write(
                    "\t".join(rows[0])
                    + "\n"
                    + "".join("\t".join(row.values()) + "\n" for row in rows)
                )
            case ".jsonl":
                file.write("".join(json.dumps(row) + "\n" for row in rows))
            case _:
                file.write("".join(row[column] + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", ["sample.csv", "sample.tsv", "sample.jsonl", "sample.txt"])
def test_every_format_gives_the_same_texts_in_two_parts(tmp_path: Path, name: str) -> None:
    sample = read(write(tmp_path / name), LABELS)
    assert sorted(row.text for row in sample.rows) == sorted(TEXTS)
    assert (len(sample.fit), len(sample.rest)) == (120, 180)
    assert not {row.text for row in sample.fit} & {row.text for row in sample.rest}
    assert sample.labelled == (name != "sample.txt")
    if sample.labelled:
        assert all(row.label == TEXTS.index(row.text) % 2 for row in sample.rows)
    assert read(tmp_path / name, LABELS) == sample


def test_labels_can_be_numbers_and_columns_can_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    path.write_text(
        "what,kind\n" + "".join(f"text {at},{at % 2}\n" for at in range(300)), encoding="utf-8"
    )
    sample = read(path, LABELS, text="what", label="kind")
    assert {row.label for row in sample.rows} == {0, 1}


def test_a_text_is_in_one_part_only(tmp_path: Path) -> None:
    path = tmp_path / "sample.txt"
    path.write_text("".join(f"{text}\n\n" for text in TEXTS * 3), encoding="utf-8")
    assert len(read(path, LABELS).rows) == len(TEXTS)
    assert texts(path) == TEXTS * 3


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.csv", None, "none.csv is not there"),
        ("sample.xlsx", "a", "a sample is a .csv, .tsv, .jsonl or .txt file, not .xlsx"),
        ("empty.csv", "text\n", "has no rows"),
        ("few.txt", "a\nb\n", "has 2 different texts: give at least 300"),
        (
            "odd.csv",
            "one,two\na,b\n",
            "has the columns one, two: name the column of the text with --text-column",
        ),
        ("odd.jsonl", '{"text": "a"}\n[1]\n', "line 2 is not a JSON object"),
        (
            "label.csv",
            "text,label\na,maybe\n",
            r"row 1: the label 'maybe' is not a label of the model \(no, a.b\)",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=said):
        read(tmp_path / name, LABELS)


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "sample.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(UserError, match="is not UTF-8"):
        read(tmp_path / "sample.txt", LABELS)


def test_the_warning_about_a_small_sample_states_the_smallest_shift_and_the_interval(
    tmp_path: Path,
) -> None:
    said = cost(read(write(tmp_path / "sample.csv"), LABELS))
    assert said is not None
    assert "finds a shift of 0.55 standard deviations" in said
    assert "± 5.8%" in said
