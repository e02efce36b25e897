"""Gives each label the name of a field: `prediction.probability.<name>` in the record, and the profile's columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache


@lru_cache(maxsize=16)
def field_names(labels: Sequence[str]) -> dict[str, str]:
    """Each of a model's labels with the name of its field, in order.

    `labels` is a tuple of different strings.

    Every character but letters, digits, `_` and `-` becomes `_`, because a dot would make an object
    of the field, and OpenSearch refuses a blank name. If two labels would then have the same name,
    the later label's place among all labels is added to its name.
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
