"""Measures detection power: the share of drifted windows that the monitor finds unusual.

Windows of drifted traffic are compared with an accepted baseline, and with the profile (the
statistics of the model's predictions for its validation texts).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from bench.monitor import rivals, traffic
from bench.monitor.drift import BURSTS, NARROW, Drift
from bench.monitor.false_alarms import WINDOW, Days, Tick, fitted
from bench.monitor.rows import FIELDS, FLAGS, LABELS, PROBABILITY, Rows
from bench.monitor.traffic import MONDAY, Index, Table
from monitor.judgement import profile_reference
from monitor.judgement.false_alarm_table import Row
from monitor.judgement.judge_windows import Judgement, judge
from monitor.judgement.profile_reference import Profile
from monitor.summaries.windows import DAY

TESTED: Final = 96  # drifted windows that are compared with each baseline
NARROW_WINDOWS: Final = 400  # windows that are compared with the profile
# A rival is another method to find drift (bench.monitor.rivals).
RIVAL_WINDOWS: Final = 60  # windows that each rival gets
RIVAL_ROWS: Final = 1500  # rows of a baseline that each rival gets


def effect(judgement: Judgement) -> float:
    """Return the effect size of the signal `means`, in standard deviations of single rows.

    The result is the median of the effect sizes of all windows.
    """
    return float(np.median(next(s.effect for s in judgement.signals if s.name == "means")))


def under_bursts(
    source: Table,
    of: str,
    made: Days,
    row: Row,
    *,
    draws: int,
    tick: Tick,
    more: Mapping[str, Drift] | None = None,
) -> list[dict[str, Any]]:
    """Measure, for each drift, the share of windows that the monitor finds unusual.

    The rivals get some of the same windows.

    - `made` makes days of traffic without drift, from the data set `of`.
    - `row` is a row of the false-alarm table. The monitor judges the windows with the row's level.
    - `draws` is the number of baselines that are drawn.
    - `tick` is called after each baseline.
    - `more` has drifts in addition to `BURSTS`.
    """
    drifts = BURSTS | dict(more or {})
    found: dict[str, list[list[float]]] = {name: [] for name in drifts}
    others: dict[str, list[dict[str, float]]] = {name: [] for name in drifts}
    for at in range(draws):
        chance = np.random.default_rng([41, at])
        before = made(7, chance)
        reference = fitted(source, before)
        for name, drift in drifts.items():
            rows = drift(source, made(4, chance).reshape(-1, WINDOW)[:TESTED], of, chance)
            judgement = judge(traffic.windows(source, rows, start=MONDAY + 7 * DAY), reference)
            found[name].append([float(judgement.unusual(row.level).mean()), effect(judgement)])
            some = chance.choice(before, RIVAL_ROWS, replace=False)
            others[name].append(
                rivals.verdicts(source, some, rows[: max(4, RIVAL_WINDOWS // draws)])
            )
        tick()
    return [
        {
            "drift": name,
            "found": round(float(np.mean([f[0] for f in parts])), 3),
            "worst": round(min(f[0] for f in parts), 3),
            "effect": round(float(np.mean([f[1] for f in parts])), 2),
            "rivals": _mean(others[name]),
        }
        for name, parts in found.items()
    ]


def reference(source: Table, rows: Index) -> Profile:
    """Make a profile from these rows."""
    sets = {name: source.numbers[rows, at + 1] for at, name in enumerate(FIELDS)}
    columns = sets | {PROBABILITY: source.numbers[rows, 0]}
    labels = np.bincount(source.label[rows], minlength=2)
    counts = {flag: int((source.flags[rows] >> bit & 1).sum()) for bit, flag in enumerate(FLAGS)}
    return Profile.of(
        "bench",
        columns,
        dict(zip(LABELS, labels.tolist(), strict=True)),
        {f: c for f, c in counts.items() if c},
    )


def against_the_profile(
    source: Table, shipped: Profile, rows: Index, tick: Tick
) -> list[dict[str, Any]]:
    """Measure, for each drift, the share of windows that the shipped profile finds unusual.

    The drifts change sentences of CoLA that the model has not seen. `rows` are the rows from which
    the profile was made; the rivals need them.
    """
    found = []
    for at, (name, (drift, size)) in enumerate(NARROW.items()):
        chance = np.random.default_rng([43, at])
        clean = np.stack(
            [chance.choice(source.all("cola"), size, replace=False) for _ in range(NARROW_WINDOWS)]
        )
        drifted = drift(source, clean, "cola", chance)
        judgement = profile_reference.judge(traffic.windows(source, drifted), shipped)
        found.append(
            {
                "drift": name,
                "n": size,
                "found": round(float(judgement.unusual(profile_reference.LEVEL).mean()), 3),
                "effect": round(effect(judgement), 2),
                "rivals": rivals.verdicts(source, rows, drifted[:RIVAL_WINDOWS]),
            }
        )
        tick()
    return found


def independent(
    source: Table,
    pool: Index,
    m: int,
    *,
    sizes: tuple[int, ...],
    splits: int,
    tick: Tick,
    windows: int = 100,
) -> list[dict[str, Any]]:
    """Measure, for each window size, the rate of false alarms on rows in random order.

    `pool` is divided `splits` times, at random, into m reference rows and rows for the windows.
    """
    found = []
    for size in sizes:
        rates, others = [], []
        for at in range(splits):
            chance = np.random.default_rng([47, size, at])
            mixed = chance.permutation(pool)
            before, rest = mixed[:m], mixed[m:]
            if len(rest) < 2 * size:
                continue
            drawn = np.stack([chance.choice(rest, size, replace=False) for _ in range(windows)])
            rates.append(
                float(
                    profile_reference.judge(
                        traffic.windows(source, drawn), reference(source, before)
                    )
                    .unusual(profile_reference.LEVEL)
                    .mean()
                )
            )
            if at < 3:
                others.append(rivals.verdicts(source, before, drawn[:RIVAL_WINDOWS]))
            tick()
        if rates:
            found.append(
                {
                    "n": size,
                    "m": m,
                    "splits": len(rates),
                    "false_windows": round(float(np.mean(rates)), 5),
                    "rivals": _mean(others),
                }
            )
    return found


def shipped_rows(profile_json: Mapping[str, Any]) -> Rows:
    """Return the rows from which the shipped profile was made."""
    table = profile_json["rows"]
    values = np.array(table["values"], dtype=np.float32)
    columns = dict(zip(table["columns"], values.T, strict=True))
    count = len(values)
    probability = columns[PROBABILITY]
    label = (probability < 0.5).astype(np.int64)
    nothing = np.zeros(count, dtype=np.int64)
    numbers = {PROBABILITY: probability} | {name: columns[name] for name in FIELDS}
    return Rows(
        numbers, label, nothing, -1 - np.arange(count), np.arange(count), nothing, ("cola",)
    )


def _mean(parts: list[dict[str, float]]) -> dict[str, float]:
    return (
        {name: round(float(np.mean([p[name] for p in parts])), 3) for name in parts[0]}
        if parts
        else {}
    )
