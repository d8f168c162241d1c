"""results.svg: horizontal bars of CPU time per request, a panel a workload. No dependency."""

from html import escape

from . import tables

WIDTH, LEFT, RIGHT = 760, 130, 150
BAR, GAP, HEADING = 16, 5, 30
COLOURS = {"foregate": "#d9480f", "relay": "#adb5bd"}


def panel(title, bars, top):
    """One workload: a heading and a bar for each proxy, the smallest first."""
    longest = max(figure for _, figure in bars)
    parts = [f'<text x="10" y="{top + 19}" class="heading">{escape(title)}</text>']
    y = top + HEADING
    for name, figure in bars:
        width = max(1.0, figure / longest * (WIDTH - LEFT - RIGHT))
        colour = COLOURS.get(name, "#4c6ef5")
        shown = f"{figure:,.1f}" if figure < 1000 else f"{figure:,.0f}"
        weight = ' class="own"' if name == "foregate" else ""
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 12.5}" text-anchor="end"{weight}>{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>',
            f'<text x="{LEFT + width + 6:.1f}" y="{y + 12.5}"{weight}>{shown} µs</text>',
        ]
        y += BAR + GAP
    return parts, y + 8


def svg(raw, workloads):
    """The whole chart; only workloads with CPU figures of several proxies have a panel."""
    parts, top = [], 34
    for workload in workloads:
        results = raw["workloads"].get(workload.name, {})
        bars = [
            (name, tables.cpu(results, name))
            for name in raw["about"]
            if isinstance(results.get(name), dict) and results[name].get("runs")
        ]
        if len(bars) < 2:
            continue
        more, top = panel(workload.title, sorted(bars, key=lambda bar: bar[1]), top)
        parts += more
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}"'
        ' font-family="system-ui, sans-serif" font-size="12">',
        "<style>text{fill:#212529}.heading{font-weight:600;font-size:13px}.own{font-weight:700}</style>",
        f'<rect width="{WIDTH}" height="{top}" fill="#ffffff"/>',
        f'<text x="10" y="22" font-size="15" class="own">CPU time of the proxy per request (less is better), {raw["date"][:10]}</text>',
    ]
    return "\n".join(head + parts + ["</svg>"]) + "\n"
