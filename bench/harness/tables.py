"""From raw results to RESULTS.md: medians with min and max, ratios, the verdict."""

import json
import statistics

from . import places, workloads

ASKED_INSTRUCTIONS = (14000, 9000)
FAMILIES = {"nginx": ("nginx", "nginx-big"), "HAProxy": ("haproxy", "haproxy-big", "haproxy-ray")}
NOT_PEERS = ("foregate", "relay")


def spread(values, digits=1):
    """`median (min–max)`."""
    values = list(values)
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def median(results, name, *path):
    """The median over a proxy's runs of the figure at `path`; None when it was not measured."""
    runs = results.get(name, {}).get("runs")
    if not runs:
        return None
    return statistics.median(figure(run, path) for run in runs)


def cpu(results, name):
    return median(results, name, "cpu_us_per_request")


def paired(results, name, *path, of="foregate"):
    """The median over rounds of Foregate's figure (or that of another proxy) ÷ that of `name` in the same round: what both
    have in common at that minute, on a machine that others use too, falls out. None when either was not measured."""
    own, other = (results.get(proxy, {}).get("runs") for proxy in (of, name))
    ratios = [figure(a, path) / figure(b, path) for a, b in zip(own or [], other or []) if figure(b, path)]
    return statistics.median(ratios) if ratios else None


def figure(run, path):
    for key in path or ("cpu_us_per_request",):
        run = run[key]
    return run


def mib(count):
    return f"{count / (1 << 20):.1f}"


def load_table(results):
    """One row a proxy."""
    rows = [
        "| proxy | CPU µs/request | user / system µs | foregate ÷ this | requests/s | p50 ms | p99 ms | RSS MiB | system calls/request |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        runs = result.get("runs")
        if not runs:
            continue
        cost = cpu(results, name)
        user = statistics.median(run["user_share"] for run in runs) * cost
        rate = statistics.median(run["requests_per_second"] for run in runs)
        latency = {
            key: statistics.median(run["latency_us"][key] for run in runs) / 1000 for key in ("p50", "p99")
        }
        digits = 1 if cost < 1000 else 0
        against = paired(results, name) if name != "foregate" else None
        ratio = f"{against:.2f}" if against else "–"
        rows.append(
            f"| {bold(name)} | {spread((run['cpu_us_per_request'] for run in runs), digits)} "
            f"| {user:.{digits}f} / {cost - user:.{digits}f} | {ratio} | {rate:,.0f} | {latency['p50']:.2f} "
            f"| {latency['p99']:.2f} | {mib(result['rss']) if 'rss' in result else '–'} "
            f"| {calls(result.get('syscalls'))} |"
        )
    return rows


def bold(name):
    return f"**{name}**" if name == "foregate" else name


def calls(by_name):
    """The sum and the four most frequent."""
    if not by_name:
        return "–"
    total = sum(by_name.values())
    digits = 2 if total < 50 else 0
    first = ", ".join(f"{name} {count:.{digits}f}" for name, count in list(by_name.items())[:4])
    return f"{total:.{digits}f}: {first}"


def churn(results):
    """Proxies that opened many backend connections: their keep-alive did not work, the comparison would be unfair."""
    found = []
    for name, result in results.items():
        requests = sum(run["requests"] for run in result.get("runs", []))
        opened = sum(run.get("backend_connections_opened", 0) for run in result.get("runs", []))
        if requests and opened > 0.02 * requests + 1200 * len(result["runs"]):
            found.append(f"{name} opened {opened:,} backend connections for {requests:,} requests")
    return found


def idle_table(results):
    rows = ["| proxy | bytes each | RSS MiB before | RSS MiB with all | connections |", "|---|---|---|---|---|"]
    for name, result in results.items():
        rows.append(
            f"| {bold(name)} | {result['bytes_each']:,.0f} | {mib(result['rss_empty'])} | {mib(result['rss_full'])} "
            f"| {result['connections']:,} |"
        )
    rows += [
        "",
        "The slope of anonymous memory between 1,000 and all held connections, one request made on each. nginx reserves its"
        " connection table at its start, so that part is not in its slope but in its first column of memory.",
    ]
    return rows


def certificates_figures(results, name):
    """What ten thousand certificates cost a proxy: bytes each, its start, and how much dearer a handshake is."""
    result = results.get(name, {})
    one, many = (result.get(side, {}) for side in ("one", "many"))
    if not one.get("runs") or not many.get("runs"):
        return None
    pairs = zip(one["runs"], many["runs"])
    extra = statistics.median(b["cpu_us_per_request"] / a["cpu_us_per_request"] for a, b in pairs)
    return {
        "start_ms": many["start_ms"],
        "bytes_each": (many["memory"] - one["memory"]) / workloads.Certificates.count,
        "choice": extra,
    }


def certificates_table(results):
    rows = [
        "| proxy | ms to the first answer, one certificate | with 10,000 | bytes each | CPU µs/handshake, one certificate"
        " | with 10,000, random names | paired by round |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        found = certificates_figures(results, name)
        if not found:
            continue
        one, many = (spread(run["cpu_us_per_request"] for run in result[side]["runs"]) for side in ("one", "many"))
        rows.append(
            f"| {bold(name)} | {result['one']['start_ms']:,.0f} | {found['start_ms']:,.0f} | {found['bytes_each']:,.0f}"
            f" | {one} | {many} | × {found['choice']:.2f} |"
        )
    return rows + ["", "Milliseconds from the start of the process to the first whole answer over TLS under the last name."
                   " Bytes are anonymous memory after the start, with 10,000 less with one, over 10,000."]


def workers_figures(results):
    """Capacity is workers over CPU per request, as fast as it goes and with as many connections for each worker."""
    one, two, apart = (median(results, side, "saturated", "cpu_us_per_request") for side in ("1", "2", "apart"))
    if not one or not two:
        return None
    # Paired by round, as all ratios are.
    def capacity(side):
        pairs = zip(results[side]["runs"], results["2"]["runs"])
        return 2 * statistics.median(
            a["saturated"]["cpu_us_per_request"] / b["saturated"]["cpu_us_per_request"] for a, b in pairs)
    counted = results.get("instructions")
    return {
        "capacity": capacity("1"),
        "shared": capacity("apart") if apart else None,
        "counted": 2 * counted["1"] / counted["2"] if counted else None,
    }


def workers_table(results):
    figures = workers_figures(results)
    if not figures:
        return ["not measured"]
    rows = [
        "| workers | as fast as it goes: CPU µs/request | requests/s | at 10,000 requests/s for each worker: CPU µs/request"
        " | user instructions per request |",
        "|---|---|---|---|---|",
    ]
    counted = results.get("instructions", {})
    for side, label in (("1", "1"), ("2", "2"), ("apart", "2 processes of 1")):
        runs = results.get(side, {}).get("runs")
        if not runs:
            continue
        rows.append(
            f"| {label} | {spread(run['saturated']['cpu_us_per_request'] for run in runs)} "
            f"| {statistics.median(run['saturated']['requests_per_second'] for run in runs):,.0f} "
            f"| {spread(run['cpu_us_per_request'] for run in runs)} | {f'{counted[side]:,.0f}' if side in counted else '–'} |"
        )
    rows += [
        "",
        f"Capacity is workers ÷ CPU per request: two workers have {figures['capacity']:.2f} × the capacity of one.",
    ]
    if not results.get("own_cores_for_load"):
        rows[-1] += (
            " The load shares the two cores here with the proxy, in all cases. One worker then has the other core's cache and"
            " time to itself for the load, two have not, so this figure is of the machine as much as of Foregate."
        )
    if figures["shared"]:
        rows.append(
            f"Against two processes of one worker each, which share no memory but meet the same load on the same cores, it is"
            f" {figures['shared']:.2f} ×: what is missing to 2 is what sharing a process costs."
        )
    if figures["counted"]:
        rows.append(
            f"By user instructions alone (callgrind, which runs one thread at a time, so waiting for a shared cache line does"
            f" not show) it is {figures['counted']:.2f} ×."
        )
    return rows


def routes_figures(results):
    one, many = cpu(results, "one"), cpu(results, "many")
    if not one or not many:
        return None
    # Paired by round: what both have in common at that minute falls out.
    pairs = zip(results["one"]["runs"], results["many"]["runs"])
    extra = statistics.median(b["cpu_us_per_request"] - a["cpu_us_per_request"] for a, b in pairs)
    alone = results.get("alone", {})
    found = {"extra_us": extra, "reload_ms": results.get("reload_ms", [])}
    for name in ("walk_ns", "cold_ns", "instructions"):
        if name in alone:
            found[name] = alone[name]["many"] - alone[name]["one"]
    return found


def routes_table(results):
    figures = routes_figures(results)
    if not figures:
        return ["not measured"]
    rows = ["| configuration | CPU µs/request | p99 ms |", "|---|---|---|"]
    for name, label in (("one", "one route"), ("many", "10,000 routes, 1,000 hosts")):
        runs = results[name]["runs"]
        p99 = statistics.median(run["latency_us"]["p99"] for run in runs) / 1000
        rows.append(f"| {label} | {spread((run['cpu_us_per_request'] for run in runs), 2)} | {p99:.2f} |")
    rows += ["", f"The difference, paired by round: {figures['extra_us']:.2f} µs, the same 10,000 requests sent to both."]
    alone = results.get("alone", {})
    if alone:
        rows += [
            "", "| the choice of a route alone | one route | 10,000 routes | difference |", "|---|---|---|---|",
            *(f"| {label} | {alone[name]['one']:,.0f} | {alone[name]['many']:,.0f} | {figures[name]:,.0f} |"
              for name, label in (("walk_ns", "ns, a random walk over all hosts and paths"),
                                  ("cold_ns", "ns, the core's caches swept before each choice"),
                                  ("instructions", "user instructions")) if name in alone),
            "", "Both configurations in turn in one process, the same questions in the same random order; medians.", "",
        ]
    if figures["reload_ms"]:
        rows.append(f"From HUP to the first answer of the new configuration: {spread(figures['reload_ms'], 0)} ms.")
    return rows


def worst_ratio(results, names, *path):
    """Foregate's figure against the peer of `names` (all peers by default) that does best against it: the ratio and the
    peer's name."""
    names = names or [name for name in results if name not in NOT_PEERS]
    ratios = [(paired(results, name, *path), name) for name in names]
    return max(((ratio, name) for ratio, name in ratios if ratio), default=None)


def ratio_line(raw, workload, label, against, must, aim, *path):
    """A line of the verdict against the best of some peers: CPU per request, or the figure at `path`."""
    results = raw["workloads"].get(workload, {})
    what, unit, scale = ("p99", "ms", 1000) if path else ("CPU per request", "µs", 1)
    title = f"{workload}: {what} ÷ {label}"
    found = worst_ratio(results, against, *path)
    if found is None:
        return (title, None, must, aim, "≤", "")
    ratio, name = found
    own, other = (median(results, proxy, *(path or ("cpu_us_per_request",))) / scale for proxy in ("foregate", name))
    # Large bodies need not be copied: a relay that does is no limit there.
    limit = paired(results, name, of="relay") if workload.startswith("1k") and not path and name != "relay" else None
    limit_note = f"; the blind relay stands at {limit:.2f}" if limit else ""
    return (title, ratio, must, aim, "≤", f"{name}; medians {own:.1f} and {other:.1f} {unit}{limit_note}")


def encrypted_lines(raw):
    """What is asked over TLS and HTTP/2."""
    asked = (
        ("tls-1k-64conn", "best peer", None, 0.70, 0.60), ("tls-handshake", "best peer", None, 0.70, None),
        ("tls-1k-rate", "best peer", None, None, None), ("tls-handshake-rate", "best peer", None, None, None),
        ("tls-resumed", "best peer", None, 0.80, None), ("tls-10m-4conn", "best peer", None, 0.95, None),
        ("h2-16x32", "best peer", None, 0.75, 0.50), ("grpc-unary", "Envoy", ("envoy",), 0.60, None),
    )
    lines = [ratio_line(raw, *line) for line in asked]
    idle = raw["workloads"].get("tls-idle", {})
    others = {name: result["bytes_each"] for name, result in idle.items() if name not in NOT_PEERS}
    best = min(others, key=others.get, default=None)
    own = idle.get("foregate", {}).get("bytes_each")
    figure = own / others[best] if own and best else None
    detail = f"{best}; {own:,.0f} and {others[best]:,.0f} bytes" if figure else ""
    lines.append(("tls-idle: bytes of user memory ÷ best peer", figure, 1.0, None, "≤", detail))
    certificates = certificates_figures(raw["workloads"].get("certs-10000", {}), "foregate") or {}
    lines.append(("10,000 certificates: start ms", certificates.get("start_ms"), 2000, None, "≤", ""))
    detail = f"{certificates['bytes_each']:,.0f} bytes of memory a certificate" if certificates else ""
    lines.append(("10,000 certificates: CPU of a handshake ÷ with one", certificates.get("choice"), 1.05, None, "≤", detail))
    return lines


def encryption_note(raw, results):
    """What was spoken and with which libraries, beside every table over TLS."""
    runs = [run for result in results.values() for side in (result, *(result.get(s, {}) for s in ("one", "many")))
            for run in side.get("runs", [])]
    terms = sorted({term for run in runs for term in run.get("tls", [])})
    spoken = f"Every connection used {' or '.join(terms)}, which is all that the load generator offers. " if terms else ""
    libraries = ", ".join(f"{name} {library}" for name, library in raw.get("tls", {}).items() if name in results)
    return (f"{spoken}The certificates are ECDSA P-256. Libraries: {libraries}. OpenSSL 3.0 is known to be slow in handshakes; a ratio"
            " against it says so much less about the proxy around it.")


def verdict_lines(raw):
    """(what, figure, must, aim, relation, detail) of everything that is asked."""
    lines = []
    for workload in ("1k-64conn", "1k-64conn-log"):
        lines.append(ratio_line(raw, workload, "nginx", FAMILIES["nginx"], 0.75, 0.65))
        lines.append(ratio_line(raw, workload, "HAProxy", FAMILIES["HAProxy"], 0.65, 0.55))
    lines.append(ratio_line(raw, "1k-64conn", "blind relay", ("relay",), 1.25, 1.10))
    lines.append(ratio_line(raw, "1k-rate", "best peer", None, None, None))
    for workload in ("64k-32conn", "10m-4conn", "upload-1m-16conn"):
        lines.append(ratio_line(raw, workload, "best peer", None, 0.95, 0.85))
    for workload in ("1k-rate", "1k-64conn"):
        lines.append(ratio_line(raw, workload, "best peer", None, 1.0, None, "latency_us", "p99"))
    lines += encrypted_lines(raw)
    workers = workers_figures(raw["workloads"].get("workers-2", {})) or {}
    # Where the load has no cores of its own, it meets two workers on both and one on one: that is no measure of workers.
    bounds = (1.9, 1.97) if raw["workloads"].get("workers-2", {}).get("own_cores_for_load") else (None, None)
    shared = "" if bounds[0] else "the load shares their cores"
    lines.append(("two workers ÷ one (capacity)", workers.get("capacity"), *bounds, "≥", shared))
    lines.append(("two workers in one process ÷ half of two processes (capacity)", workers.get("shared"), 1.9, 1.97, "≥", ""))
    own = raw["workloads"].get("idle-10000", {}).get("foregate", {}).get("bytes_each")
    lines.append(("idle connection: bytes of user memory", own, 1300, 600, "≤", ""))
    routes = routes_figures(raw["workloads"].get("routes-10000", {}))
    lines.append(("10,000 routes: µs over one route, whole requests", routes and routes["extra_us"], 1.0, None, "≤", ""))
    # Traffic keeps the caches as a walk over all routes does; swept before each choice they are what no traffic leaves.
    for name, label, must in (("walk_ns", "random walk", 1.0), ("cold_ns", "caches swept", None)):
        extra = routes[name] / 1000 if routes and name in routes else None
        lines.append((f"10,000 routes: µs over one route, the choice alone, {label}", extra, must, None, "≤", ""))
    reload_ms = statistics.median(routes["reload_ms"]) if routes and routes["reload_ms"] else None
    lines.append(("10,000 routes: reload ms", reload_ms, 500, None, "≤", ""))
    try:
        recorded = json.loads((places.BENCH / "instructions.json").read_text())["instructions_per_request"]
    except (OSError, KeyError, ValueError):
        recorded = None
    lines.append(("user instructions per request (bench/instructions)", recorded, *ASKED_INSTRUCTIONS, "≤", ""))
    return lines


def verdict(raw):
    rows = ["| asked | figure | must | aim | verdict | |", "|---|---|---|---|---|---|"]
    for what, figure, must, aim, relation, detail in verdict_lines(raw):
        def holds(bound):
            return figure <= bound if relation == "≤" else figure >= bound
        if figure is None:
            word, shown = "not measured", "–"
        else:
            word = ("told only" if must is None else "aim met" if aim is not None and holds(aim) else "met" if holds(must)
                    else "**missed**")
            shown = f"{figure:,.2f}" if abs(figure) < 100 else f"{figure:,.0f}"
        aim_shown = "" if aim is None else f"{relation} {aim:,}"
        must_shown = "" if must is None else f"{relation} {must:,}"
        rows.append(f"| {what} | {shown} | {must_shown} | {aim_shown} | {word} | {detail} |")
    return rows


def micro_table():
    """The recorded instruction counts of single steps."""
    try:
        recorded = json.loads((places.BENCH / "micro.json").read_text())
    except (OSError, ValueError):
        return []
    rows = [f"| {step} | {count:,} |" for step, count in recorded["instructions"].items()]
    return [
        "## Single steps", "",
        f"User instructions of one turn, recorded by `bench/micro` on {recorded['date']} with {recorded['rustc']}.", "",
        "| step | instructions |", "|---|---|", *rows, "",
    ]


def congestion(machine):
    """What the machine gives to sockets that ask for nothing, if it was noted."""
    name = machine.get("congestion")
    return f", `{name}`" if name else ""


def again_note(raw):
    """Which workloads were measured later than the rest, when, and which build of Foregate."""
    notes = [f"`{name}` on {date}, {rounds} rounds of {seconds} s ({about})"
             for name, (date, rounds, seconds, about) in raw.get("again", {}).items()]
    return [f"Measured again since, in place of that run's: {'; '.join(notes)}.", ""] if notes else []


def document(raw, chosen):
    """The whole RESULTS.md."""
    machine = raw["machine"]
    lines = [
        "# Side by side",
        "",
        f"Written by `bench/compare{' --quick' if raw['quick'] else ''}` on {raw['date']}: {raw['rounds']} interleaved rounds of"
        f" {raw['seconds']} s, medians with (min–max). Machine: {machine['cores']} cores, {machine['cpu']}, kernel"
        f" {machine['kernel']}, load average at the start {machine['load']}.",
        "",
        *again_note(raw),
        "The figure is CPU time per request: time on a core of all threads and processes of a proxy"
        " (`/proc/PID/task/*/schedstat`) over the requests completed in the same window. The split into user and system is"
        " that time divided by the ratio of clock ticks (`/proc/PID/stat`), which is coarse. Each proxy runs one worker on one"
        " core; load and backend run on another. Every byte of the answers is compared with what the backend must have sent"
        " (10 MB answers: every eighth). Peers keep connections to the backends alive and add no header of their own beyond"
        " their defaults; Foregate runs its full road (routing, header law, `Via`, `Forwarded`, `X-Forwarded-*`, request"
        f" ids, metrics, all deadlines). Its sockets and the relay's have `reno` at loopback, which is its default, and so have"
        " those of load and backend; the other proxies' have the machine's congestion control"
        f"{congestion(machine)}. Configurations: `bench/peers`.",
        "",
        "![CPU per request](results.svg)",
        "",
        "## Verdict",
        "",
        "Against a family (nginx, HAProxy) its fastest member here counts. A ratio is the median of the ratios of single"
        " rounds, in which the two ran seconds apart, so it can differ from that of the medians beside it.",
        "",
        *verdict(raw),
        "",
    ]
    tables = {"idle-10000": idle_table, "tls-idle": idle_table, "certs-10000": certificates_table, "workers-2": workers_table, "routes-10000": routes_table}
    for workload in chosen:
        results = raw["workloads"].get(workload.name)
        lines += [f"## {workload.name}: {workload.title}", ""]
        lines += tables.get(workload.name, load_table)(results) if results else ["not measured"]
        lines.append("")
        if workload.tls and results:
            lines += [encryption_note(raw, results), ""]
        for note in churn(results or {}) if workload.name not in tables else []:
            lines += [f"Note: {note}.", ""]
        for note in raw["failures"].get(workload.name, []):
            lines += [f"Note: {note}", ""]
    lines += micro_table()
    lines += ["## Versions", ""]
    lines += [f"- {name}: {about}" for name, about in raw["about"].items()]
    lines += [f"- {name}: absent on this machine" for name in raw["absent"]]
    return "\n".join(lines) + "\n"
