"""Gives each label a field name.

The name is used in the record (`prediction.probability.<name>`) and for the columns of the profile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache


@lru_cache(maxsize=16)
def field_names(labels: Sequence[str]) -> dict[str, str]:
    """Return the field name of each of a model's labels, in order.

    `labels` is a tuple of different strings. Every character except letters, digits, `_` and `-` is
    replaced by `_`: a dot would turn the field into an object, and OpenSearch refuses a name that
    consists of blanks.
    If an earlier label has the same field name, the label's position is added to the field name.
    """
    names = [
        "".join(each if each.isalnum() or each in "_-" else "_" for each in label)
        for label in labels
    ]
    counts, seen, found = Counter(names), set[str](), {}
    for place, (label, name) in enumerate(zip(labels, names, strict=True)):
        free = name
        while free in seen or (free != name and free in counts):
            free = f"{free}_{place}"
        seen.add(free)
        found[label] = free
    return found
