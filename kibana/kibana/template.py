"""The index template: what `cwl-*` indices take, and how to put it into a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import requests

NAME: Final = "prediction-monitor"
FILE: Final = Path(__file__).parent / "index_template.json"


def index_template() -> dict[str, Any]:
    """The template as OpenSearch takes it."""
    template: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return template


def install(url: str) -> None:
    """Put the template into the cluster at `url`; again is harmless. Raises `requests.RequestException`."""
    answer = requests.put(f"{url}/_index_template/{NAME}", json=index_template(), timeout=30)
    answer.raise_for_status()
