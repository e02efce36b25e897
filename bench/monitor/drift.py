"""The drifts that the bench puts into traffic. The monitor should detect them.

A row is a prediction. A window is a group of rows that the monitor judges together.
The rows come from several sets of sentences: the corpora CoLA, BLiMP, EWT and GUM, sentences in
other languages (foreign), and random keys, numbers and markup (junk).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from bench.monitor.traffic import Chance, Index, Pool, Table, altered, bursts, mixed, parts

# A drift is a function. Its parameters are the table of all rows, the windows, the name of the set
# that the rows of the windows come from, and a random generator. It returns the changed windows.
Drift = Callable[[Table, Index, str, Chance], Index]


def changed(how: str, share: float) -> Drift:
    """Make a drift that changes this share of the rows.

    `how` is the name of the change, a key of `texts.CHANGES`.
    """
    return lambda source, rows, of, chance: altered(
        source, rows, of, how, share=share, chance=chance
    )


def joined(name: str, share: float) -> Drift:
    """Make a drift that replaces this share of the rows by rows of the set `name`."""
    return lambda source, rows, _, chance: mixed(rows, source.all(name), share, chance)


def repeated(share: float) -> Drift:
    """Make a drift that replaces this share of a window's rows by a single sentence."""

    def change(source: Table, rows: Index, of: str, chance: Chance) -> Index:
        return np.where(
            parts(rows, share, chance), chance.choice(source.all(of), len(rows))[:, None], rows
        )

    return change


def replaced(by: Pool) -> Drift:
    """Make a drift that replaces all rows by rows of the documents in `by`.

    The rows of a document stay together, as in bursts of traffic.
    """
    return lambda _, rows, __, chance: bursts(by, rows.size, chance).reshape(rows.shape)


# Drifts in windows that are compared with a baseline (statistics of earlier windows).
# `one swap in 20 %`: in 20 % of the rows, two neighbouring words are exchanged.
BURSTS: Final[dict[str, Drift]] = {
    "CoLA 25 %": joined("cola", 0.25),
    "shuffled 20 %": changed("shuffled", 0.2),
    "one swap in 20 %": changed("swapped", 0.2),
    "1 word in 10 misspelt": changed("misspelt", 1.0),
    "BLiMP 25 %": joined("blimp", 0.25),
    "foreign 10 %": joined("foreign", 0.1),
    "junk 5 %": joined("junk", 0.05),
    "one sentence 10 % of the time": repeated(0.1),
    "cut to five words 20 %": changed("cut", 0.2),
    "3 % of words misspelt": changed("misspelt a little", 1.0),
    "none": joined("cola", 0.0),
}
# Drifts in windows that are compared with the model's profile (statistics of validation texts).
# With each drift comes the number of rows in a window.
NARROW: Final[dict[str, tuple[Drift, int]]] = {
    "other domain 100 % (EWT)": (joined("ewt", 1.0), 100),
    "shuffled 20 %": (changed("shuffled", 0.2), 100),
    "1 word in 10 misspelt": (changed("misspelt", 1.0), 100),
    "one sentence 10 % of the time": (repeated(0.1), 100),
    "EWT 25 %": (joined("ewt", 0.25), 200),
    "BLiMP 25 %": (joined("blimp", 0.25), 200),
    "junk 5 %": (joined("junk", 0.05), 200),
    "cut to five words 20 %": (changed("cut", 0.2), 200),
    "foreign 10 %": (joined("foreign", 0.1), 100),
    "one swap in 20 %": (changed("swapped", 0.2), 200),
    "3 % of words misspelt": (changed("misspelt a little", 1.0), 200),
}
