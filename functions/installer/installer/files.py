"""Find the folder `kibana/` with the files to install.

The folder is in the repository's root. In the deployed function, it is next to this package.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = next(
    folder for above in Path(__file__).parents if (folder := above / "kibana").is_dir()
)
