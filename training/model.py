"""Makes a model folder from a checkpoint and a sample.

`make model` runs `python -m training.model --from FOLDER --sample FILE`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from tools.errors import UserError
from training import checkpoint, golden, sample
from training.assemble_folder import Wish, assemble
from training.figures import quality

DESCRIPTION = """\
Make a model folder (model.onnx, tokenizer.json, card.json, profile.json, README.md) from a text
classifier that transformers saved.

The sample must have texts of the kind that the model will see, but NOT texts on which the model
was trained. The monitor learns from the sample which texts are usual. If you give training texts,
the scores in the profile are too confident, every real text looks like drift, and the accuracy on
the card is too high. A sample of fewer than 300 texts is refused.

40 % of the sample are used to fit three things: the temperature (the number that calibrates the
scores), the projection that makes the signature (eight numbers that describe a text), and the
table of surprisal (how unusual a pair of word pieces is). The profile and all figures come from the
other 60 %.
"""


def main(argv: list[str] | None = None) -> int:
    """Make the folder and return 0, or print an error message and return 2."""
    parser = argparse.ArgumentParser(
        prog="make model",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--from",
        dest="checkpoint",
        type=Path,
        required=True,
        help="folder that save_pretrained wrote",
    )
    parser.add_argument(
        "--sample",
        type=Path,
        required=True,
        help="a .csv, .tsv, .jsonl or .txt file with one text per row, and optionally its label",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("model"), help="the model folder to write (%(default)s)"
    )
    parser.add_argument(
        "--against",
        type=Path,
        help="another model folder, which is compared with the new one on the same sample",
    )
    parser.add_argument(
        "--golden",
        type=Path,
        help="a file with golden sentences (the test sentences of the canary), one per line "
        "(default: chosen from the sample)",
    )
    parser.add_argument(
        "--trained-on",
        type=Path,
        help="a file of texts for the table of surprisal (default: 40 %% of the sample)",
    )
    parser.add_argument(
        "--text-column", help="the sample's column with the text (default: text, sentence, ...)"
    )
    parser.add_argument(
        "--label-column", help="the sample's column with the label (default: label, class, ...)"
    )
    parser.add_argument(
        "--name", help="the model's name in every record (default: the name of the folder OUT)"
    )
    parser.add_argument(
        "--max-tokens",
        type=int,
        help="largest number of word pieces of a text (default: the model's limit, at most 512)",
    )
    parser.add_argument(
        "--about",
        type=Path,
        help="a JSON file with more fields for the card: base_model (name, licence), corpora, and "
        "sample (the sample's name)",
    )
    parser.add_argument(
        "--large",
        action="store_true",
        help="write the folder even if it does not fit into a zip package",
    )
    arguments = parser.parse_args(argv)
    try:
        run(arguments)
    except UserError as problem:
        print(f"make model: {problem}", file=sys.stderr)
        return 2
    return 0


def run(arguments: argparse.Namespace) -> None:
    """Make the model folder that the arguments describe. Raises `UserError`."""
    if replaced := _replaced(arguments.out):
        say(f"{arguments.out} contains the model {replaced}: its files will be replaced")
    found = checkpoint.read(arguments.checkpoint, arguments.max_tokens)
    rows = sample.read(
        arguments.sample, found.labels, text=arguments.text_column, label=arguments.label_column
    )
    say(
        f"{len(rows.rows)} texts, {'with' if rows.labelled else 'without'} labels; "
        f"labels of the model: {', '.join(found.labels)}"
    )
    if warning := sample.cost(rows):
        say(f"warning: {warning}")
    if not rows.labelled:
        say(
            "warning: without labels the model cannot be calibrated: scores say how confident the "
            "model is, not how often it is right."
        )
    trained_on = sample.texts(arguments.trained_on) if arguments.trained_on else None
    about = _about(arguments.about) if arguments.about else {}
    rows = replace(rows, name=about.pop("sample", rows.name))
    wish = Wish(
        name=arguments.name or arguments.out.resolve().name,
        golden=golden.read(arguments.golden) if arguments.golden else None,
        trained_on=trained_on,
        large=arguments.large,
        about=about,
    )
    make(found, rows, wish, arguments.out)
    if arguments.against:
        from training.compare_models import compared  # noqa: PLC0415  imported only if needed

        for line in compared(arguments.out, arguments.against, rows):
            say(line)


def _replaced(out: Path) -> str | None:
    """Return name and version of the model in `out`, or None if `out` is empty or missing.

    Raises `UserError` if the folder contains anything else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        card = json.loads((out / "card.json").read_text(encoding="utf-8"))
        return f"{card['name']} {card['version']}"
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{out} exists and is not a model folder: give another folder with OUT=."
        ) from None


def _about(path: Path) -> dict[str, Any]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise UserError(f"{path} cannot be read as JSON: {problem}.") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} is not a JSON object.")
    return found


def make(
    found: checkpoint.Checkpoint, rows: sample.Sample, wish: Wish, out: Path
) -> dict[str, Any]:
    """Export the checkpoint, and assemble the model folder. Return its card."""
    # imported late, because torch takes seconds, and --help and error messages do not need it
    from training import exported  # noqa: PLC0415

    say(f"loading {found.folder}")
    model = exported.load(found.folder)
    own = exported.answers(model, found.folder, [row.text for row in rows.rows], found.max_tokens)
    with tempfile.TemporaryDirectory(prefix="exported-") as folder:
        plain = Path(folder) / "plain.onnx"
        say("exporting to ONNX")
        exported.to_onnx(model, plain)
        card = assemble(plain, own, checkpoint=found, sample=rows, wish=wish, out=out, say=say)
    say(f"{out / 'profile.json'}, a part of the package, contains the text of the golden sentences")
    say(f"{out}: {card['name']} {card['version']}")
    if "accuracy" in card["figures"]:
        say(quality(card["figures"]))
    say(
        f"Next: make check-model MODEL={out}, then make serve MODEL={out} or make build MODEL={out}"
    )
    return card


def say(line: str) -> None:
    """Print a line without buffering."""
    print(line, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
