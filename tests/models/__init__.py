"""Which model folder the tests of inference, contracts, panels and views look at: the shipped one,
or the one in TESTED_MODEL.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tools.root import ROOT

SHIPPED: Final = ROOT / "functions" / "inference" / "model"
TESTED: Final = Path(os.environ.get("TESTED_MODEL") or SHIPPED)
