"""Reads the profile of the model with which this stack was built.

The profile describes the model's predictions for texts on which the model was not trained.

In the built package the profile is in the folder `monitor`. In the repository it is in the folder
of the model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from monitor.accuracy.intervals import Card
from monitor.canary.golden_sentences import GoldenUnreadable, shipped_model
from monitor.judgement.profile_reference import Profile, ProfileUnreadable
from monitor.messages.evidence import Golden

HERE: Final = Path(__file__).parents[1]
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


def shipped_golden() -> Golden:
    """Return facts about the model and its golden sentences, for messages.

    Golden sentences are texts with known answers (golden_sentences.py). If the golden sentences
    cannot be read, the result is empty, because messages can do without these facts. The canary
    reports the problem.
    """
    try:
        model = shipped_model()
    except GoldenUnreadable:
        return Golden()
    signatures = {one.text: one.signature for one in model.sentences}
    card = model.card
    return Golden(str(card.get("profile", "")), signatures, Card.read(card))
