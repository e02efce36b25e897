"""A deployed inference function, simulated in this process.

Each version of the function has a model folder. The code of the real function parses the requests
and makes the answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference.answer import answer
from inference.classifier import Classifier
from inference.description import description
from inference.request import parse
from monitor.canary.ask_function import Reply

NAME = "arn:aws:lambda:eu-west-1:123456789012:function:predict"
type Change = Callable[[dict[str, Any], Path], None]  # changes a card and the files of a folder


def changed(shipped: Path, folder: Path, change: Change) -> Path:
    """Return a copy of a model folder with a change in its card or its files."""
    folder.mkdir()
    for name in ("model.onnx", "tokenizer.json", "profile.json"):
        (folder / name).symlink_to(shipped / name)
    card = json.loads((shipped / "card.json").read_text(encoding="utf-8"))
    change(card, folder)
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


def replace(folder: Path, name: str, content: bytes) -> None:
    """Write a file in place of a link."""
    (folder / name).unlink()
    (folder / name).write_bytes(content)


@dataclass
class Function:
    """A function with several versions.

    `versions` has the model folder of each version. `live` returns the version that the next call
    of the alias reaches. `spoil` gets each answer with predictions, and returns the answer that the
    caller gets.
    """

    versions: dict[str, Path]
    live: Callable[[], str]
    spoil: Callable[[Any], Any] = lambda answers: answers
    asked: list[tuple[str, Any]] = field(default_factory=list)
    _loaded: dict[str, Classifier] = field(default_factory=dict)

    def ask(self, function: str, event: Any) -> Reply:
        """Return the answer of the deployed function."""
        qualifier = function.rpartition(":")[2]
        version = self.live() if qualifier == "live" else qualifier
        self.asked.append((version, event))
        folder = self.versions[version]
        if version not in self._loaded:
            self._loaded[version] = Classifier(folder)
        classifier = self._loaded[version]
        if event.get("describe"):
            return Reply(json.loads(json.dumps(description(folder, classifier.card))), version)
        request = parse(event)
        predictions = [classifier.predict(each) for each in request.sentences]
        ids = [str(at) for at in range(len(predictions))]
        content = answer(request, predictions, ids, {}, canary=True)
        return Reply(self.spoil(json.loads(json.dumps(content))), version)
