from __future__ import annotations

from pathlib import Path

import pytest

from tests.models import four_labels


@pytest.fixture(scope="session")
def four_label_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small model folder with four labels."""
    return four_labels.make(tmp_path_factory.mktemp("four-labels"))
