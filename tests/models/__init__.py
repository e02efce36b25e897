"""Chooses the model folder for the tests of inference, contracts, panels and views.

It is the shipped model, or the folder in TESTED_MODEL.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tools.root import ROOT

SHIPPED: Final = (ROOT / "functions" / "inference" / "model").resolve()
TESTED: Final = Path(os.environ.get("TESTED_MODEL") or SHIPPED).resolve()
