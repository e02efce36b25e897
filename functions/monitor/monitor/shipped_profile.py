"""The profile of the model that this stack is built with: beside this module in the package, in the model's folder in the sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from monitor.profile import Profile, ProfileUnreadable

HERE: Final = Path(__file__).parent
PLACES: Final = (HERE / "profile.json", HERE.parents[1] / "inference" / "model" / "profile.json")


def shipped_profile(places: tuple[Path, ...] = PLACES) -> Profile | None:
    """The profile; None where there is no file. Raises `ProfileUnreadable`."""
    for place in places:
        if place.is_file():
            try:
                return Profile.read(json.loads(place.read_text(encoding="utf-8")))
            except (ValueError, StopIteration) as problem:
                raise ProfileUnreadable(
                    f"{place} cannot be read as a profile: {problem}"
                ) from problem
    return None
