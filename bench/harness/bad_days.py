"""From the cells of bench/resilience to a section of RESULTS.md, and to what Foregate promised."""

from . import faults

ABOUT = {fault.name: fault.about for fault in faults.ALL}
# Answers that had begun can't be asked for elsewhere; how many there are until the backend is left out is counted, not barred.
BEGUN = {"cut"}


def seconds(value):
    return "–" if value is None else f"{value:.1f}"


def milliseconds(value):
    return "–" if value is None else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def kinds(cell):
    return ", ".join(f"{kind} × {count}" for kind, count in sorted(cell["kinds"].items())) or "–"


def line(cell):
    return (f"failed {cell['failed_within']} within, {cell['failed_after']} after, {cell['failed_recovering']} at its return;"
            f" p99 {milliseconds(cell['p99_within_ms'])} / {milliseconds(cell['p99_after_ms'])} ms;"
            f" left out {seconds(cell['left_out_s'])} s, used again {seconds(cell['used_again_s'])} s")


def broken(raw):
    """Promises of docs/resilience.md that Foregate did not keep."""
    found = []
    for fault, row in raw["cells"].items():
        cell = row.get("foregate")
        if not cell:
            continue
        if cell["failed_after"] or cell["failed_recovering"]:
            found.append(f"{fault}: {cell['failed_after'] + cell['failed_recovering']} requests failed after the window")
        if cell["failed_within"] > cell["in_flight"] and fault not in BEGUN:
            found.append(f"{fault}: {cell['failed_within']} requests failed within the window, {cell['in_flight']} were in flight")
        if cell["used_again_s"] is None:
            found.append(f"{fault}: the backend was not used again")
    return found


def table(row):
    lines = [
        "| proxy | requests | failed within the window | failed after | failed at its return | p99 before / within / after ms"
        " | left out after s | used again after s | how they failed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, cell in row.items():
        shown = f"**{name}**" if name == "foregate" else name
        lines.append(
            f"| {shown} | {cell['requests']:,} | {cell['failed_within']} | {cell['failed_after']} | {cell['failed_recovering']}"
            f" | {milliseconds(cell['p99_before_ms'])} / {milliseconds(cell['p99_within_ms'])} / {milliseconds(cell['p99_after_ms'])}"
            f" | {seconds(cell['left_out_s'])} | {seconds(cell['used_again_s'])} | {kinds(cell)} |"
        )
    return lines


def section(raw):
    lines = [
        "## Bad days",
        "",
        f"Written by `{raw['command']}` on {raw['date']}. Machine: {raw['machine']}.",
        "",
        f"{raw['rate']} idempotent GETs a second, begun at fixed moments whatever the earlier ones do, before three backends of"
        f" which the third has a bad day. Checks once a second, two bad ones take a backend out, a try may take a second:"
        f" the detection window of `docs/resilience.md` is {raw['window_s']:.1f} s. Retries, passive checks and, where the open"
        " edition has them, active ones are on in every proxy: `bench/peers/resilience`. A request fails when its client gets"
        " no whole 200; latencies count from the moment it was due. *Left out* is when the last request was touched by the"
        " fault: it reached the ill backend, failed, or took more than 250 ms (– where none was). *Used again* counts from the"
        " end of the fault to the first answer that the backend gave.",
        "",
    ]
    for fault, row in raw["cells"].items():
        lines += [f"### {fault}: {ABOUT[fault]}", "", *table(row), ""]
    if raw["no_network"]:
        lines += [f"`black-hole` was skipped: {raw['no_network']}.", ""]
    lines += [f"Note: {note}" for note in raw["failures"]]
    lines += [f"- {name}: {about}" for name, about in raw["about"].items()]
    lines += [f"- {name}: absent on this machine" for name in raw["absent"]]
    return "\n".join(lines) + "\n"
