"""The report of a run for a person at a terminal: per loader a sentence, a bar, workers, lines, and what to
change.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dlcheck.diagnosis.faults import FATAL
from dlcheck.diagnosis.model import Advice, Culprit, LoaderDiagnosis, PricedFinding, WorkerUse
from dlcheck.diagnosis.prediction import Prediction
from dlcheck.diagnosis.ranks import RankLateness
from dlcheck.diagnosis.units import amount, duration, share
from dlcheck.report.model import Report
from dlcheck.report.plain import write_plain
from dlcheck.report.words import LABELS, plural

_BAR = 60
_PLAIN_WIDTH = 110
_MOST_LINES = 5
_LEAST_SHARE = 0.005
_MOST_WORKERS = 8
_MOST_FINDINGS = 10
_MOST_ALIKE = 2
_COLOURS = ("red", "yellow", "magenta", "blue", "cyan")
_GOOD, _BAD = "bold green", "bold red"


def print_report(report: Report, file: TextIO) -> None:
    """Print the report to ``file``, in colour where that is a terminal."""
    console = Console(file=file, highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        _print(report, console, console.encoding)
        return
    text = io.StringIO()
    _print(report, Console(file=text, highlight=False, markup=False, width=_PLAIN_WIDTH), console.encoding)
    write_plain(text.getvalue(), file)


def _print(report: Report, console: Console, encoding: str) -> None:
    glyphs, arrow = ("█▓▒░#", "→") if "utf" in encoding.lower() else ("#=+-.", "->")
    diagnosis = report.diagnosis
    console.print(_title(report))
    for loader, alike in by_verdict(diagnosis.loaders):
        console.print()
        console.print(_loader(report, loader, glyphs, arrow, console.width))
        if alike:
            console.print(_indented(_alike(alike)))
    if diagnosis.ranks:
        console.print(Text("\nRanks, by what the others waited for them", "bold"))
        console.print(_indented(_ranks(diagnosis.ranks)))
    if diagnosis.incidents:
        console.print(Text("\nWhat went wrong", "bold"))
        for incident in diagnosis.incidents:
            at = duration(max(0, incident.t - diagnosis.begin_ns))
            text = Text(incident.kind, _BAD).append(f" after {at}: {incident.detail}", "default")
            for site in incident.stack[-3:]:
                text.append(f"\n    {report.shown(site.file)}:{site.line} in {site.function}", "dim")
            console.print(Padding(text, (0, 0, 0, 2)))
    for part in _findings(report, diagnosis.findings):
        console.print(part)
    notes = (*(note for loader in diagnosis.loaders for note in _loader_notes(loader)), *diagnosis.notes)
    for number, note in enumerate(dict.fromkeys(notes)):
        console.print(Text(f"{'' if number else chr(10)}note: {note}", "dim"))
    if report.recording:
        console.print(Text(f"\nRecording and report.json: {report.recording}", "dim"))


def _title(report: Report) -> Text:
    """What a reader wants to know first: whether data loading slows this training."""
    diagnosis = report.diagnosis
    status = "unknown" if diagnosis.exit_code is None else str(diagnosis.exit_code)
    text = Text("dlcheck  ", "bold")
    blamed = [loader for loader in diagnosis.loaders if loader.verdict not in ("healthy", "unknown")]
    wait_s = sum(loader.wait_s for loader in diagnosis.loaders)
    if blamed and blamed[0].verdict == "hang":
        text.append("Data loading stands still.", _BAD)
    elif blamed and blamed[0].verdict in FATAL:
        text.append("Data loading ended this run.", _BAD)
    elif blamed and all(loader.verdict == "memory-growth" for loader in blamed):
        text.append("Data loading uses more and more memory.", _BAD)
    elif blamed:
        wall_s = sum(loader.wall_s for loader in diagnosis.loaders)
        loops = "loop" if len(diagnosis.loaders) == 1 else "loops"
        text.append("Data loading can be improved.", _BAD)
        text.append(f" The {loops} waited for data {duration(wait_s * 1e9)} of {duration(wall_s * 1e9)}.")
    elif any(loader.verdict == "healthy" for loader in diagnosis.loaders):
        text.append("Data loading does not slow this training.", _GOOD)
    else:
        text.append("Nothing is known of data loading.", "bold")
    over = f" in all, exit status {status}" if "attached" not in diagnosis.environment else " of watching"
    return text.append(f"  ({duration(diagnosis.wall_s * 1e9)}{over})", "dim")


def _loader(report: Report, loader: LoaderDiagnosis, glyphs: str, arrow: str, width: int) -> Group:
    healthy = loader.verdict == "healthy"
    verdict = Text(loader.verdict, _GOOD if healthy else _BAD).append(f"  {loader.sentence}", "default")
    parts: list[RenderableType] = [_headline(report, loader), _indented(verdict)]
    for name, sentence in loader.also:
        if sentence:
            parts.append(_indented(Text(f"also {name}", "bold").append(f"  {sentence}", "dim")))
    if loader.wall_s:
        parts.append(_bar(loader, glyphs, width))
    if loader.workers and not healthy:
        parts.append(_indented(_workers(loader.workers)))
    if not healthy and loader.culprits:
        parts += _lines(report, loader, arrow)
    if loader.advice:
        parts += [Text("  What to change", "bold"), _indented(_advice(loader.advice))]
    return Group(*parts)


def by_verdict(loaders: Sequence[LoaderDiagnosis]) -> list[tuple[LoaderDiagnosis, list[LoaderDiagnosis]]]:
    """Loaders as they are told: of many ranks that iterate the same loader with the same verdict the first one, and
    those that are like it. Up to two are told one by one.
    """
    groups: dict[object, list[LoaderDiagnosis]] = {}
    for loader in loaders:
        key = (loader.created_at, loader.dataset, loader.verdict) if loader.rank is not None else id(loader)
        groups.setdefault(key, []).append(loader)
    told = []
    for group in groups.values():
        if len(group) > _MOST_ALIKE:
            told.append((group[0], group[1:]))
        else:
            told += [(loader, []) for loader in group]
    return told


def _alike(alike: Sequence[LoaderDiagnosis]) -> Text:
    ranks = numbers([each.rank for each in alike if each.rank is not None])
    return Text(f"and {len(alike)} more ranks with this verdict: {ranks}", "dim")


def numbers(ranks: Sequence[int]) -> str:
    """Numbers in words: 0-3, 5, 8."""
    spans: list[list[int]] = []
    for rank in sorted(set(ranks)):
        if spans and spans[-1][1] == rank - 1:
            spans[-1][1] = rank
        else:
            spans.append([rank, rank])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def _indented(part: RenderableType) -> Padding:
    return Padding(part, (0, 0, 0, 2))


def _headline(report: Report, loader: LoaderDiagnosis) -> Text:
    settings = loader.settings
    workers = settings.get("num_workers")
    facts = [loader.dataset.rpartition(".")[2] or "dataset not known"]
    facts.append("" if workers is None else f"{workers or 'no'} worker{'' if workers == 1 else 's'}")
    facts.append(f"batch size {settings['batch_size']}" if settings.get("batch_size") is not None else "")
    counted = f"{loader.batches} batches in {plural(loader.epochs, 'epoch')}"
    facts.append(counted if loader.phases_s else "")
    facts.append(f"made {loader.made} times" if loader.made > 1 else "")
    rank = f"rank {loader.rank}" if loader.rank is not None else ""
    facts.append(f"{rank} on {loader.node}".strip() if loader.node else rank)
    site = loader.created_at
    where = f"{report.shown(site.file)}:{site.line}" if site.file else "place not known"
    if not loader.phases_s:
        # Seen from outside: what is known is the process.
        where = f"process {loader.key.partition(':')[0]}"
    return (
        Text("Loader " if loader.phases_s else "Loaders of ", "bold")
        .append(where, "bold cyan")
        .append(f"  {', '.join(f for f in facts if f)}", "dim")
    )


def _shares(loader: LoaderDiagnosis) -> list[tuple[str, float]]:
    """The loop's steps and the causes of its waits, in seconds, the largest cause first. Where the loop loads
    batches itself, by what it does for them.
    """
    causes = dict(loader.causes_s)
    if not loader.settings.get("num_workers") and "main" in causes:
        for name, seconds in loader.details_s.items():
            cause, _, detail = name.partition(": ")
            if cause == "main" and detail in LABELS:
                causes[detail] = causes.get(detail, 0.0) + seconds
                causes["main"] -= seconds
    named = sorted(((name, s) for name, s in causes.items() if s > 0.0), key=lambda item: -item[1])
    rest = sum(seconds for _, seconds in named[4:])
    step = max(0.0, loader.wall_s - loader.wait_s)
    return [("step", step), *named[:4], *([("other", rest)] if rest > 0.0 else [])]


def _bar(loader: LoaderDiagnosis, glyphs: str, width: int) -> Text:
    """Where the loop's time went, and what each part of the bar is."""
    bar, legend = Text("  "), Text("  ")
    done, filled = 0.0, 0
    left = width - 2
    for number, (name, seconds) in enumerate(_shares(loader)):
        glyph = glyphs[number % len(glyphs)]
        colour = {0: "green", 5: "white"}.get(number) or _COLOURS[number - 1]
        part = seconds / loader.wall_s
        done += part
        columns = round(done * _BAR) - filled
        filled += columns
        bar.append(glyph * columns, colour)
        label = f"{LABELS[name]} {share(part)}"
        if len(label) + 2 > left:
            legend.append("\n  ")
            left = width - 2
        left -= len(label) + 5
        legend.append(f"{glyph} ", colour).append(label + "   ")
    bar.append(f"  {duration(loader.wall_s * 1e9)}", "dim")
    legend.rstrip()
    return bar.append("\n").append(legend)


def _workers(workers: tuple[WorkerUse, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    columns: dict[str, Callable[[WorkerUse], str]] = {
        "worker": lambda use: str(use.worker),
        "batches": lambda use: str(use.batches),
        "busy": lambda use: "?" if use.busy_share is None else share(use.busy_share),
        "CPU": lambda use: "?" if use.cpu_share is None else share(use.cpu_share),
        "loop waited": lambda use: duration(use.waited_s * 1e9),
        "memory": lambda use: "?" if use.rss_bytes is None else amount(use.rss_bytes),
        "own memory": lambda use: "?" if use.private_bytes is None else amount(use.private_bytes),
    }
    if not any(use.batches or use.waited_s for use in workers):
        del columns["batches"], columns["loop waited"]
    for heading in columns:
        table.add_column(heading, justify="left" if heading == "worker" else "right")
    for use in workers[:_MOST_WORKERS]:
        table.add_row(*(cell(use) for cell in columns.values()))
    if len(workers) > _MOST_WORKERS:
        table.add_row(f"and {len(workers) - _MOST_WORKERS} more")
    return table


def _ranks(ranks: tuple[RankLateness, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    several, nodes = len({use.created_at for use in ranks}) > 1, any(use.node for use in ranks)
    headings = (
        "rank",
        "steps",
        "waited for data",
        "later than the first",
        "95 %",
        "was the last",
        "held up others",
    )
    for heading in headings + ("loader",) * several + ("node",) * nodes:
        table.add_column(heading, justify="left" if heading in ("rank", "loader", "node") else "right")
    for use in ranks[:_MOST_WORKERS]:
        times = (use.wait_s, use.late_mean_s, use.late_p95_s)
        waited, late, late_95 = (duration(seconds * 1e9) for seconds in times)
        row = (
            str(use.rank),
            str(use.steps),
            waited,
            late,
            late_95,
            share(use.last_share),
            duration(use.held_up_s * 1e9),
        )
        table.add_row(*row, *([f"line {use.created_at.line}"] * several), *([use.node] * nodes))
    if len(ranks) > _MOST_WORKERS:
        table.add_row(f"and {len(ranks) - _MOST_WORKERS} more")
    return table


def _lines(report: Report, loader: LoaderDiagnosis, arrow: str) -> Iterator[RenderableType]:
    sampled = [culprit for culprit in loader.culprits if culprit.samples]
    # What cost nothing is nobody to blame.
    sampled = [culprit for culprit in sampled if culprit.wait_s >= _LEAST_SHARE * loader.wall_s] or sampled[
        :1
    ]
    if sampled:
        yield Text("  Lines that the loop waited for", "bold").append("  in shares of its time", "dim")
    else:
        yield Text("  Where batches are made", "bold")
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for culprit in (sampled or loader.culprits)[:_MOST_LINES]:
        table.add_row(*_line(report, loader, culprit, arrow))
    yield _indented(table)
    for index, seconds in loader.slow_samples[:1] if loader.verdict == "straggler" else ():
        which = "" if index is None else f": index {index}"
        yield Text(f"  slowest sample{which}, {duration(seconds * 1e9)}")


def _line(report: Report, loader: LoaderDiagnosis, culprit: Culprit, arrow: str) -> tuple[Text, Text, Text]:
    part = culprit.wait_s / loader.wall_s if loader.wall_s else 0.0
    function = Text(culprit.site.function)
    if culprit.calls:
        function.append(f" {arrow} {culprit.calls}", "dim")
    if culprit.stage != "fetch":
        function.append(f" ({culprit.stage})", "dim")
    if culprit.finding is not None:
        finding = culprit.finding
        named = finding.name if culprit.is_found else f"at line {finding.place.line}"
        function.append(f"  {finding.rule} {named}", "bold yellow")
    where = Text(f"{report.shown(culprit.site.file)}:{culprit.site.line}", "cyan")
    return Text(share(part) if culprit.samples else ""), where, function


def _advice(advices: tuple[Advice, ...]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(justify="right", style="bold")
    table.add_column(overflow="fold")
    for number, advice in enumerate(advices, 1):
        text = Text(advice.text)
        if advice.prediction is not None:
            text.append(f" {_gain(advice.prediction)}", "bold green")
            if "times_faster" in advice.change:
                text.append(f" if it took {_fraction(advice.change['times_faster'])} of its time", "dim")
        table.add_row(f"{number}." if len(advices) > 1 else "", text)
    return table


def _gain(prediction: Prediction) -> str:
    return (
        f"Predicted: {prediction.speedup:.2f} times as fast ({prediction.low:.2f} to {prediction.high:.2f})"
    )


def _fraction(times: int) -> str:
    return "half" if times == 2 else f"1/{times}"


def _findings(report: Report, findings: Sequence[PricedFinding]) -> Iterator[RenderableType]:
    """What static checks found: first what was measured to cost time, then the rest."""
    costly = [priced for priced in findings if priced.cost_s]
    rest = [priced for priced in findings if not priced.cost_s]
    shown = _MOST_FINDINGS
    for heading, group in (
        ("Findings in the code, with the waiting that they cost", costly),
        ("More findings in the code" if costly else "Findings in the code", rest),
    ):
        if not group or shown <= 0:
            continue
        yield Text(f"\n{heading}", "bold")
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        if group is costly:
            table.add_column(justify="right", style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for priced in group[:shown]:
            table.add_row(*_finding(report, priced))
        yield _indented(table)
        shown -= len(group)
    if len(findings) > _MOST_FINDINGS:
        yield Text(f"  and {len(findings) - _MOST_FINDINGS} more in report.json", "dim")


def _finding(report: Report, priced: PricedFinding) -> Iterator[Text]:
    finding = priced.finding
    if priced.cost_s:
        cost = Text(duration(priced.cost_s * 1e9))
        if priced.cost_share is not None:
            cost.append(f" ({share(priced.cost_share)})", "not bold")
        yield cost
    text = Text(f"{report.shown(finding.place.file)}:{finding.place.line} ", "cyan")
    yield text.append(f"{finding.rule} ", "bold yellow").append(finding.message, "default")


def _loader_notes(loader: LoaderDiagnosis) -> tuple[str, ...]:
    return loader.notes if loader.verdict != "healthy" else ()
