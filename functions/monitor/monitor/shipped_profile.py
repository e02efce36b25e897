"""Reads the profile of the model that this stack is built with.

In the built package the profile lies next to this module. In the sources it lies in the folder of
the model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from monitor.evidence import Golden
from monitor.profile import Profile, ProfileUnreadable

HERE: Final = Path(__file__).parent
PLACES: Final = (HERE / "profile.json", HERE.parents[1] / "inference" / "model" / "profile.json")


def shipped_profile(places: tuple[Path, ...] = PLACES) -> Profile | None:
    """Return the profile, or None if there is no file. Raises `ProfileUnreadable`."""
    for place in places:
        if place.is_file():
            try:
                return Profile.read(json.loads(place.read_text(encoding="utf-8")))
            except (ValueError, StopIteration) as problem:
                raise ProfileUnreadable(
                    f"{place} cannot be read as a profile: {problem}"
                ) from problem
    return None


def shipped_golden(places: tuple[Path, ...] = PLACES) -> Golden:
    """Return the golden sentences with their signatures; none if there is no file, or it has none.

    A message does without them, so a profile that cannot be read is not reported here.
    """
    for place in places:
        if place.is_file():
            try:
                content = json.loads(place.read_text(encoding="utf-8"))
                sentences = content["golden"]["sentences"]
                signatures = {str(one["text"]): list(one["signature"]) for one in sentences}
                return Golden(str(content["id"]), _calibrated(place), signatures)
            except (ValueError, LookupError, TypeError, AttributeError):
                return Golden()
    return Golden()


def _calibrated(profile: Path) -> bool:
    """Whether the card beside a profile says so."""
    card = profile.with_name("card.json")
    return card.is_file() and bool(json.loads(card.read_text(encoding="utf-8"))["calibrated"])
