"""The prefix of the names of the daily indices."""

from __future__ import annotations

import re
from typing import Final

PREFIX: Final = "cwl-"  # the default
VALID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,49}-")


def index_prefix(text: str, name: str = "an index prefix") -> str:
    """Return `text` if it is a valid prefix. Otherwise, raise `ValueError`.

    The message of the exception begins with `name`, the name of the setting.
    """
    if not VALID.fullmatch(text):
        raise ValueError(
            f"{name} must be lowercase letters, digits and dashes, with a dash at the end, "
            f"such as dev-cwl-, not {text!r}"
        )
    return text
