"""The folder `kibana/` with the files to install: at the repository's root, or beside this package where that is deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = next(folder for above in Path(__file__).parents if (folder := above / "kibana").is_dir())
