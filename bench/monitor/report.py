"""Formats the measurements of the monitor as the Markdown tables of docs/monitoring.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Results = Mapping[str, Any]
Lines = Sequence[Mapping[str, Any]]


def tables(results: Results) -> dict[str, str]:
    """Return each table by its name."""
    return {
        "dial": _false_alarm_table(results),
        "false alarms": _false_alarms(results),
        "power": _power(results),
        "genres": _genres(results["power_genres"]),
        "profile": _profile(results["profile"]),
        "independent rows": _independent(results["independent"]),
        "changes": _changes(results["changes"]),
        "volume": _volume(results["volume"]),
        "estimated accuracy": _estimated(results["accuracy"]["estimated"]),
        "blind": _blind(results["accuracy"]["blind"]),
        "known accuracy": _known(results["accuracy"]["known"]),
        "messages about accuracy": _messages(results["accuracy"]["messages"]),
    }


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}".removesuffix(".00") if share else "0"


def _false_alarm_table(results: Results) -> str:
    figures: Lines = results["dial_figures"]
    kinds = list(dict.fromkeys(f["traffic"] for f in figures))
    used = {(d["windows"], d["level"], d["in_a_row"]): d["days"] for d in results["dial"]}
    rows = []
    for key in dict.fromkeys((f["windows"], f["level"], f["in_a_row"]) for f in figures):
        same = {
            f["traffic"]: f for f in figures if (f["windows"], f["level"], f["in_a_row"]) == key
        }
        notices = [f"{same[kind]['notices_in_30_days']:.3f}" for kind in kinds]
        bound = 30 / max(f["upper_bound"] for f in same.values())
        shares = [100 * f["false_windows"] for f in same.values()]
        windows = f"{min(shares):.1f}-{max(shares):.1f}"
        most = max(f["most"] for f in same.values())
        rows.append(
            [
                key[0],
                key[1],
                key[2],
                windows,
                *notices,
                most,
                f"{bound:.0f}",
                "yes" if key in used else "",
            ]
        )
    head = [
        "windows of the baseline",
        "level",
        "windows in a row",
        "false windows, %",
        *kinds,
        "most notices in one draw",
        "days with at most one notice",
        "used",
    ]
    return _table(head, rows)


def _false_alarms(results: Results) -> str:
    lines: Lines = [*results["false_alarms"], *results["independent_chart"]]
    rows = [
        [f["traffic"], _percent(f["false_windows"]), f"{f['notices_in_30_days']:.2f}", f["most"]]
        for f in lines
    ]
    head = ["traffic", "false windows, %", "notices in 30 days", "most notices in one draw"]
    return _table(head, rows)


def _power(results: Results) -> str:
    second = {p["drift"]: p for p in results["power_gum"]}
    rows = []
    for p in results["power"]:
        other = second.get(p["drift"])
        gum = f"{other['found']:.2f} ({other['worst']:.2f})" if other else ""
        rows.append(
            [
                p["drift"],
                f"{p['found']:.2f} ({p['worst']:.2f})",
                f"{p['effect']:.2f}",
                gum,
                *_rivals(p),
            ]
        )
    return _table(
        [
            "drift",
            "found, EWT (worst baseline)",
            "size δ of the effect",
            "found, GUM (worst baseline)",
            *_names(results["power"]),
        ],
        rows,
    )


def _genres(lines: Lines) -> str:
    return _table(
        ["genre", "share of windows found", "share found with the worst baseline"],
        [[g["genre"], f"{g['found']:.2f}", f"{g['worst']:.2f}"] for g in lines],
    )


def _profile(lines: Lines) -> str:
    rows = [
        [p["drift"], p["n"], f"{p['found']:.2f}", f"{p['effect']:.2f}", *_rivals(p)] for p in lines
    ]
    head = ["drift", "predictions in a window", "found", "size δ of the effect"]
    return _table([*head, *_names(lines)], rows)


def _independent(parts: Mapping[str, Lines]) -> str:
    rows = [
        [f"{name}, m = {p['m']:,}", p["n"], _percent(p["false_windows"]), *_rivals(p)]
        for name, lines in parts.items()
        for p in lines
    ]
    head = ["source of the rows", "predictions in a window", "false windows, %"]
    return _table([*head, *_names(next(iter(parts.values())))], rows)


def _changes(changes: Mapping[str, Any]) -> str:
    rows: list[list[object]] = []
    for name in ("new sources", "a weekly cycle, 14-day baseline"):
        for f in changes[name]:
            notices = f"{f['notices_in_30_days']:.1f}"
            rows.append(
                [
                    name,
                    f"{f['level']} x {f['in_a_row']}",
                    _percent(f["false_windows"]),
                    notices,
                    f["most"],
                ]
            )
    launch = changes["a launch, ten times the traffic"]
    notices = f"{launch['notices_in_72_windows']:.1f}"
    rows.append(
        [
            "a launch, ten times the traffic",
            "",
            _percent(launch["false_windows"]),
            notices,
            launch["most"],
        ]
    )
    return _table(
        [
            "change",
            "level x windows in a row",
            "unusual windows, %",
            "notices in 30 days",
            "most notices in one draw",
        ],
        rows,
    )


def _volume(parts: Mapping[str, Lines]) -> str:
    drifts = ("1 word in 10 misspelt", "foreign 10 %", "shuffled 20 %", "junk 5 %")
    rows = []
    for name, lines in parts.items():
        for p in lines:
            found = [f"{p[d]:.2f}" if d in p else "" for d in drifts]
            armed = (
                [p["hours_to_notice"], p["smallest_effect"]]
                if p["armed"]
                else [f"needs {p['days_needed']:.0f} days", ""]
            )
            state = "armed" if p["armed"] else "provisional"
            rows.append(
                [name, f"{p['a_day']:,}", p["days"], state, p["windows"], p["deff"], *armed, *found]
            )
    return _table(
        [
            "traffic",
            "predictions a day",
            "days of the baseline",
            "baseline",
            "windows of the baseline",
            "deff",
            "hours to a notice",
            "smallest δ that is found",
            *(f"found: {drift}" for drift in drifts),
        ],
        rows,
    )


def _estimated(lines: Lines) -> str:
    rows = [
        [
            one["n"],
            f"{one['windows']:,}",
            f"{100 * one['coverage']:.1f}",
            f"{100 * one['coverage_without_calibration_noise']:.1f}",
            f"{one['bias']:+.4f}",
            f"{one['mean_absolute_bias_of_a_split']:.3f}",
            f"{one['mean_absolute_error']:.3f}",
        ]
        for one in lines
    ]
    head = [
        "sentences in a window",
        "windows",
        "interval holds the truth, %",
        "interval holds the truth if the noise of calibration is left out, %",
        "bias of all splits",
        "bias of one split (mean absolute value)",
        "error of a window (mean absolute value)",
    ]
    return _table(head, rows)


def _blind(lines: Lines) -> str:
    rows = [
        [one["change"], one["truth"], one["estimate"], f"{100 * one['coverage']:.0f}"]
        for one in lines
    ]
    return _table(["change", "right answers", "estimate", "interval holds the truth, %"], rows)


def _known(lines: Lines) -> str:
    kinds = list(dict.fromkeys(one["labels"] for one in lines))
    rows = []
    for n in dict.fromkeys(one["n"] for one in lines):
        same = {one["labels"]: one for one in lines if one["n"] == n}
        rows.append(
            [
                n,
                *(
                    f"{100 * same[kind]['coverage']:.1f} ({same[kind]['off']:+.3f})"
                    for kind in kinds
                ),
            ]
        )
    return _table(["number of labels", *kinds], rows)


def _messages(lines: Lines) -> str:
    rows = [
        [
            one["change"],
            one["labels"],
            f"{100 * one['told']:.0f}",
            "" if one["median_days"] is None else f"{one['median_days']:.0f}",
        ]
        for one in lines
    ]
    head = [
        "change",
        "labels",
        "simulated years with a message, %",
        "days until the message (median)",
    ]
    return _table(head, rows)


def _names(lines: Lines) -> list[str]:
    return list(lines[0]["rivals"])


def _rivals(line: Mapping[str, Any]) -> list[str]:
    return [f"{share:.2f}" for share in line["rivals"].values()]
