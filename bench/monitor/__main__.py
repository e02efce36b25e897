"""`make bench-monitor DATA=folder` measures detections and false alarms of the monitor.

The documents of EWT, a corpus, are divided into two halves. One half gives false_alarm_table.json,
from which the monitor takes its limits. Everything else is measured on the other half and on a
second corpus, GUM.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.machine import machine
from bench.monitor import accuracy, false_alarms, power, traffic
from bench.monitor.cost import cost
from bench.monitor.drift import NARROW, replaced
from bench.monitor.report import tables
from bench.monitor.rows import MODEL, predicted
from bench.monitor.search import search
from bench.monitor.traffic import DAY_ROWS, Table, steady
from bench.monitor.volume import volume
from bench.table import console
from monitor.judgement import false_alarm_table
from monitor.judgement.judge_windows import judge
from monitor.judgement.profile_reference import Profile
from monitor.judgement.verdict import begins
from tools.root import ROOT
from training.corpora import CorpusMissing

Start = Callable[[str, int], Callable[..., None]]

HALVES: Final = 1  # the seed that divides the documents into halves
SETS: Final = 21  # number of sets of sentences for which `predicted` returns predictions


@dataclass(frozen=True, slots=True)
class Scale:
    """The size of a run: how often each measurement is repeated.

    Each random draw makes new traffic.

    - `dial` is the number of random draws for the false-alarm table.
    - `bars` is the number of random draws for false alarms on texts not used for the table.
    - `splits` is how often independent rows are divided at random into a baseline and windows.
    - `power` is the number of random draws for drift.
    - `documents` is the number of documents that OpenSearch reads.
    - `resplits` is the number of random divisions of labelled sentences.
    """

    dial: int = 120
    bars: int = 20
    splits: int = 100
    power: int = 10
    documents: int = 1_000_000
    resplits: int = 200


QUICK: Final = Scale(3, 2, 2, 1, 20_000, 3)


def main() -> int:
    """Measure, show the tables, and write the results.

    Returns exit code 2 if a corpus is missing.
    """
    options = _options()
    scale = QUICK if options.quick else Scale()
    columns = (
        TextColumn("{task.description:42}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    page = console()
    with Progress(*columns, console=page) as progress, tempfile.TemporaryDirectory() as folder:

        def start(what: str, steps: int) -> Callable[..., None]:
            task = progress.add_task(what, total=steps)
            return lambda *_: progress.advance(task)

        cache = options.cache or Path(folder)
        try:
            about = _accuracy(options.data, cache, scale, start)
            if options.accuracy:
                kept = json.loads(options.out.read_text(encoding="utf-8"))
                _write(options.out, kept | {"accuracy": about})
                return 0
            sets = predicted(options.data, cache, start("predictions", SETS))
        except CorpusMissing as problem:
            print(f"bench: {problem}", file=sys.stderr)
            return 2
        shipped = json.loads((MODEL / "profile.json").read_text(encoding="utf-8"))
        source = traffic.table(sets | {"profile": power.shipped_rows(shipped)})
        results: dict[str, Any] = {
            "machine": machine(), "scale": asdict(scale), "accuracy": about,
        }  # fmt: skip
        for name, part in _measure(source, Profile.read(shipped), scale, start):
            results |= {"measured": datetime.now(UTC).isoformat(timespec="seconds"), name: part}
            # Results are written after each part, so that a failure loses only one part.
            _write(options.out, results)
    for name, part in tables(results).items():
        page.print(Markdown(f"## {name}\n\n{part}"))
    if options.write_dial:
        rows = [json.dumps(row) for row in results["dial"]]
        false_alarm_table.TABLE.write_text(
            '{"rows": [\n  ' + ",\n  ".join(rows) + "\n]}\n", encoding="utf-8"
        )
        page.print(f"written to {false_alarm_table.TABLE}", markup=False, highlight=False)
    page.print(f"written to {options.out}", markup=False, highlight=False)
    return 0


def _write(path: Path, results: dict[str, Any]) -> None:
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _accuracy(data: Path, cache: Path, scale: Scale, start: Start) -> dict[str, Any]:
    """Measure the intervals of accuracy, and note the time. Raises `CorpusMissing`."""
    tick = start("re-splits", scale.resplits * len(accuracy.SIZES))
    found = accuracy.measured(data, cache, scale.resplits, tick)
    return {"measured": datetime.now(UTC).isoformat(timespec="seconds"), **found}


def _measure(
    source: Table, shipped: Profile, scale: Scale, start: Start
) -> Iterator[tuple[str, Any]]:
    """Yield each part of the results with its name, as soon as it is measured."""
    one, other = traffic.halves(HALVES)
    for_table, tested = traffic.pool(source, "ewt", one), traffic.pool(source, "ewt", other)
    german = traffic.pool(source, "foreign", lambda documents: documents < GERMAN)
    french = traffic.pool(source, "foreign", lambda documents: documents >= GERMAN)
    gum, made = traffic.pool(source, "gum"), steady(tested)

    kinds = false_alarms.kinds(for_table, german)
    figures = false_alarms.measured(
        source, kinds, scale.dial, 61, start("the false-alarm table", scale.dial * len(kinds))
    )
    yield "dial_figures", figures
    yield "dial", (rows := false_alarms.chosen(figures))
    row = false_alarm_table.choose(
        168, table=tuple(false_alarm_table.Row(**row) for row in rows)
    ).row
    yield "row", asdict(row)

    unseen = false_alarms.kinds(tested, french) | {
        f"{kind} (GUM)": days for kind, days in false_alarms.kinds(gum, french).items()
    }
    tick = start("documents not used for the table", scale.bars * len(unseen))
    yield (
        "false_alarms",
        _at(row, false_alarms.measured(source, unseen, scale.bars, 67, tick, sizes={168: 7})),
    )
    tick = start("independent rows for 30 days", scale.bars)
    yield "independent_chart", _at(row, _independent_chart(source, tested, scale.bars, tick))

    drawn: dict[str, Any] = {
        "draws": scale.power,
        "tick": start("drift under bursts", scale.power * 2),
    }
    yield (
        "power",
        power.under_bursts(
            source, "ewt", made, row, more={"another source 100 % (GUM)": replaced(gum)}, **drawn
        ),
    )
    yield (
        "power_gum",
        power.under_bursts(
            source,
            "gum",
            steady(gum),
            row,
            more={"another source 100 % (EWT)": replaced(tested)},
            **drawn,
        ),
    )
    genres = range(len(source.sets["ewt"].genres))
    yield "power_genres", [_genre(source, tested, genre, row, scale.power) for genre in genres]

    rows_of_profile = source.all("profile")
    tick = start("drift against the profile", len(NARROW))
    yield "profile", power.against_the_profile(source, shipped, rows_of_profile, tick)
    narrow, broad = np.append(rows_of_profile, source.all("cola")), source.all("ewt")
    split: dict[str, Any] = {
        "splits": scale.splits,
        "tick": start("independent rows", scale.splits * 7),
    }
    yield (
        "independent",
        {
            "CoLA": power.independent(
                source, narrow, len(rows_of_profile), sizes=(50, 100, 200), **split
            ),
            "EWT": power.independent(source, broad, 2000, sizes=(50, 100, 200, 500), **split),
        },
    )
    tick = start("new sources, a weekly cycle, a launch", scale.bars * 3)
    moved = false_alarms.measured(
        source, {"": steady(for_table)}, scale.bars, 71, tick, sizes={168: 7}, tested=made
    )
    week = false_alarms.measured(
        source, {"": weekly(tested, gum)}, scale.bars, 73, tick, sizes={336: 14}
    )
    yield (
        "changes",
        {
            "new sources": moved,
            "a weekly cycle, 14-day baseline": _at(row, week),
            "a launch, ten times the traffic": launch(source, made, row, scale.bars, tick),
        },
    )
    tick = start("predictions a day", 18)
    yield (
        "volume",
        {
            "bursts": volume(
                source, lambda count, chance: traffic.bursts(tested, count, chance), tick
            ),
            "independent": volume(
                source, lambda count, chance: chance.choice(source.all("ewt"), count), tick
            ),
        },
    )
    yield "cost", cost(source, made, np.random.default_rng(79))
    start("one day of predictions read by OpenSearch", 1)
    yield (
        "search",
        search(source, np.random.default_rng(81).choice(source.all("ewt"), scale.documents)),
    )


# The set `foreign` begins with this number of German sentences. Its other sentences are French.
GERMAN: Final = 1776


def weekly(of: traffic.Pool, others: traffic.Pool) -> false_alarms.Days:
    """Make traffic with a weekly cycle.

    From Monday to Friday, all documents come from `of`. At weekends, a quarter of them come from
    `others`.
    """

    def made(days: int, chance: traffic.Chance) -> traffic.Index:
        both = traffic.Pool(
            *(np.append(getattr(of, f), getattr(others, f)) for f in ("starts", "lengths", "genre"))
        )
        weight = np.append(
            np.full(len(of.starts), 0.75 / len(of.starts)),
            np.full(len(others.starts), 0.25 / len(others.starts)),
        )
        parts = [
            traffic.bursts(both, DAY_ROWS, chance, weight)
            if day % 7 > 4
            else traffic.bursts(of, DAY_ROWS, chance)
            for day in range(days)
        ]
        return np.concatenate(parts)

    return made


def launch(
    source: Table,
    made: false_alarms.Days,
    row: false_alarm_table.Row,
    draws: int,
    tick: false_alarms.Tick,
) -> dict[str, Any]:
    """Judge windows that have ten times as many predictions as the baseline's windows."""
    unusual = []
    for at in range(draws):
        chance = np.random.default_rng([83, at])
        reference = false_alarms.fitted(source, made(7, chance))
        windows = traffic.windows(source, made(30, chance).reshape(-1, 10 * false_alarms.WINDOW))
        unusual.append(judge(windows, reference).unusual(row.level))
        tick()
    notices = [len(begins(u.tolist(), in_a_row=row.in_a_row)) for u in unusual]
    return {
        "false_windows": round(float(np.mean(unusual)), 5),
        "notices_in_72_windows": float(np.mean(notices)),
        "most": max(notices),
    }


def _genre(
    source: Table, whole: traffic.Pool, genre: int, row: false_alarm_table.Row, draws: int
) -> dict[str, Any]:
    """Judge traffic of one genre against a baseline of all other genres."""
    parts = [
        traffic.Pool(whole.starts[k], whole.lengths[k], whole.genre[k])
        for k in (whole.genre != genre, whole.genre == genre)
    ]
    found = []
    for at in range(draws):
        chance = np.random.default_rng([89, genre, at])
        reference = false_alarms.fitted(source, steady(parts[0])(7, chance))
        windows = traffic.windows(
            source, steady(parts[1])(2, chance).reshape(-1, false_alarms.WINDOW)
        )
        found.append(float(judge(windows, reference).unusual(row.level).mean()))
    return {
        "genre": source.sets["ewt"].genres[genre],
        "found": round(float(np.mean(found)), 3),
        "worst": round(min(found), 3),
    }


def _independent_chart(
    source: Table, of: traffic.Pool, draws: int, tick: false_alarms.Tick
) -> list[dict[str, Any]]:
    rows = np.concatenate([np.arange(s, s + k) for s, k in zip(of.starts, of.lengths, strict=True)])
    kinds: dict[str, false_alarms.Days] = {
        "independent rows": lambda days, chance: chance.choice(rows, days * DAY_ROWS)
    }
    return false_alarms.measured(source, kinds, draws, 97, tick, sizes={168: 7})


def _at(row: false_alarm_table.Row, figures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return only the figures that were measured with the settings of this row."""
    return [f for f in figures if (f["level"], f["in_a_row"]) == (row.level, row.in_a_row)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.monitor", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder of the corpora (docs/monitoring.md names their sources)",
    )
    parser.add_argument(
        "--cache", type=Path, help="folder that keeps the predictions for the next run"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few random draws, to test this command; the figures are not reliable",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "bench" / "monitor.json",
        help="file of the results (%(default)s)",
    )
    parser.add_argument(
        "--write-dial",
        action="store_true",
        help="also write the measured rows into the false-alarm table of the monitor",
    )
    parser.add_argument(
        "--accuracy",
        action="store_true",
        help="measure only the intervals of accuracy, and keep the other results of the file",
    )
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
