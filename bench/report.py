"""Turns runs into Markdown: a table of medians with spread, and ratios taken within each round."""

from itertools import combinations
from statistics import median

COLUMNS = [  # heading, key of a run, format
    ("CPU µs/request", "cpu_us", "{:.1f}"),
    ("requests/s", "rps", "{:.0f}"),
    ("p50 ms", "p50_ms", "{:.2f}"),
    ("p99 ms", "p99_ms", "{:.2f}"),
    ("proxy busy %", "busy_percent", "{:.0f}"),
    ("RSS idle MiB", "rss_idle_mib", "{:.1f}"),
    ("RSS loaded MiB", "rss_loaded_mib", "{:.1f}"),
    ("start ms", "start_ms", "{:.0f}"),
    ("cache hits %", "hit_percent", "{:.0f}"),
]
OPTIONAL = {"hit_percent"}  # a column only where one of the scenarios has it
RATIOS = [("CPU/request", "cpu_us"), ("requests/s", "rps"), ("p99", "p99_ms"), ("RSS loaded", "rss_loaded_mib")]


def results_table(runs):
    """One row per scenario and peer, in the order of their first run."""
    columns = [column for column in COLUMNS if column[1] not in OPTIONAL or any(column[1] in run for run in runs)]
    rows = [["scenario", "peer", *(heading for heading, _, _ in columns)]]
    for (scenario, peer), group in grouped(runs).items():
        rows.append([scenario, peer, *row_cells(group, columns)])
    return markdown(rows)


def ratio_table(runs, labels):
    """Each pair of peers: divided round by round, then the median."""
    rows = [["scenario", "ratio", *(heading for heading, _ in RATIOS)]]
    groups = grouped(runs)
    for scenario in dict.fromkeys(run["scenario"] for run in runs):
        for one, other in combinations(labels, 2):
            pairs = same_round(groups.get((scenario, one), []), groups.get((scenario, other), []))
            if pairs:
                cells = [spread([a[key] / b[key] for a, b in pairs], "{:.2f}") for _, key in RATIOS]
                rows.append([scenario, f"{one} / {other}", *cells])
    return markdown(rows) if len(rows) > 1 else ""


def spread(values, form):
    """`median (min–max)`; a single value stands alone."""
    middle, low, high = (form.format(value) for value in (median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low}–{high})"


def row_cells(group, columns):
    if any(run["problem"] for run in group):
        return ["INVALID: " + next(run["problem"] for run in group if run["problem"])] + [""] * (len(columns) - 1)
    return [spread([run[key] for run in group], form) if key in group[0] else "" for _, key, form in columns]


def same_round(ones, others):
    """Valid runs of two peers, paired by round."""
    by_round = {run["round"]: run for run in others if not run["problem"]}
    return [(run, by_round[run["round"]]) for run in ones if not run["problem"] and run["round"] in by_round]


def grouped(runs):
    groups = {}
    for run in sorted(runs, key=lambda run: run["order"]):
        groups.setdefault((run["scenario"], run["peer"]), []).append(run)
    return groups


def markdown(rows):
    """Cells to a Markdown table; the first row is the heading."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("---" for _ in rows[0]) + " |")
    return "\n".join(lines)
