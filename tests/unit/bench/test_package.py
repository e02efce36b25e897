from __future__ import annotations

from pathlib import Path

import pytest

from bench.package import PackageMissing, ensure_built


def test_a_missing_package_is_reported(tmp_path: Path) -> None:
    with pytest.raises(PackageMissing, match="run `make build` first"):
        ensure_built(tmp_path)
