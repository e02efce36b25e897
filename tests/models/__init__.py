"""Chooses the model folder for the tests of inference, contracts, panels and views.

The tests use the shipped model, unless `TESTED_MODEL` names another folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tools.root import ROOT

SHIPPED: Final = (ROOT / "functions" / "inference" / "model").resolve()
TESTED: Final = Path(os.environ.get("TESTED_MODEL") or SHIPPED).resolve()
