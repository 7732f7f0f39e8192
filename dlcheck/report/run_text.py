"""The report of a run for a person at a terminal: per loader a sentence, a bar, workers, lines, and what to
change.
"""

from __future__ import annotations

from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dlcheck.diagnosis.model import Advice, LoaderDiagnosis, PricedFinding, WorkerUse
from dlcheck.diagnosis.prediction import Prediction
from dlcheck.diagnosis.units import amount, duration, share
from dlcheck.report.model import Report

_BAR = 60
_PLAIN_WIDTH = 110
_MOST_LINES = 5
_MOST_WORKERS = 8
_MOST_FINDINGS = 10
_COLOURS = ("red", "yellow", "magenta", "blue", "cyan")
_GOOD, _BAD = "bold green", "bold red"


def print_report(report: Report, file: TextIO) -> None:
    """Print the report to ``file``, in colour where that is a terminal."""
    console = Console(file=file, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(file=file, highlight=False, markup=False, emoji=False, width=_PLAIN_WIDTH)
    glyphs = "█▓▒░#" if "utf" in console.encoding.lower() else "#=+-."
    diagnosis = report.diagnosis
    console.print(_title(report))
    for loader in diagnosis.loaders:
        console.print()
        console.print(_loader(report, loader, glyphs))
    if diagnosis.incidents:
        console.print(Text("\nWhat went wrong", "bold"))
        for incident in diagnosis.incidents:
            at = duration(max(0, incident.t - diagnosis.begin_ns))
            text = Text(f"  {incident.kind}", _BAD).append(f" after {at}: {incident.detail}", "default")
            for site in incident.stack[-3:]:
                text.append(f"\n      {report.shown(site.file)}:{site.line} in {site.function}", "dim")
            console.print(text)
    if diagnosis.findings:
        console.print(_findings(report, diagnosis.findings))
    for note in diagnosis.notes:
        console.print(Text(f"note: {note}", "dim"))
    if report.recording:
        console.print(Text(f"\nRecording and report.json: {report.recording}", "dim"))


def _title(report: Report) -> Text:
    diagnosis = report.diagnosis
    status = "unknown" if diagnosis.exit_code is None else str(diagnosis.exit_code)
    text = Text("dlcheck", "bold")
    loaders = len(diagnosis.loaders)
    return text.append(
        f"  {duration(diagnosis.wall_s * 1e9)}, exit status {status}, "
        f"{loaders} loader{'' if loaders == 1 else 's'}",
        "dim",
    )


def _loader(report: Report, loader: LoaderDiagnosis, glyphs: str) -> Group:
    healthy = loader.verdict == "healthy"
    parts: list[RenderableType] = [_headline(report, loader)]
    verdict = Text("  ").append(loader.verdict, _GOOD if healthy else _BAD).append(f"  {loader.sentence}")
    parts.append(verdict)
    for name, sentence in loader.also:
        parts.append(Text("  ").append(f"also {name}", "bold").append(f"  {sentence}", "dim"))
    if loader.wall_s:
        parts.append(_bar(loader, glyphs))
    if loader.workers and not healthy:
        parts.append(Padding(_workers(loader.workers), (0, 0, 0, 2)))
    lines = _lines(report, loader)
    if lines is not None and not healthy:
        parts.append(lines)
    parts.append(_advice(loader.advice))
    parts += [Text(f"  note: {note}", "dim") for note in loader.notes]
    return Group(*parts)


def _headline(report: Report, loader: LoaderDiagnosis) -> Text:
    settings = loader.settings
    workers = settings.get("num_workers")
    facts = [loader.dataset or "dataset not known"]
    facts.append(f"{workers} worker{'' if workers == 1 else 's'}" if workers is not None else "")
    facts.append(f"batch size {settings['batch_size']}" if settings.get("batch_size") is not None else "")
    facts.append(f"{loader.batches} batches in {loader.epochs} epoch{'' if loader.epochs == 1 else 's'}")
    if loader.rank is not None:
        facts.append(f"rank {loader.rank}")
    site = loader.created_at
    where = f"{report.shown(site.file)}:{site.line}" if site.file else "place not known"
    return (
        Text("Loader ", "bold")
        .append(where, "bold cyan")
        .append(f"  {', '.join(f for f in facts if f)}", "dim")
    )


def _bar(loader: LoaderDiagnosis, glyphs: str) -> Text:
    """Where the loop's time went: its steps, and the causes of its waits, the largest first."""
    step = max(0.0, loader.wall_s - loader.wait_s)
    causes = sorted(loader.causes_s.items(), key=lambda item: -item[1])
    parts = [("step", step, "green"), *((c, s, _COLOURS[i % 5]) for i, (c, s) in enumerate(causes[:4]))]
    rest = sum(seconds for _, seconds in causes[4:])
    if rest:
        parts.append(("other", rest, "white"))
    bar, legend = Text("  "), Text("  ")
    done = filled = 0.0
    for number, (name, seconds, colour) in enumerate(parts):
        glyph = glyphs[number % len(glyphs)]
        done += seconds / loader.wall_s
        width = round(done * _BAR) - int(filled)
        filled += width
        bar.append(glyph * width, colour)
        legend.append(f"{glyph} ", colour).append(f"{name} {share(seconds / loader.wall_s)}   ")
    bar.append(f"  {duration(loader.wall_s * 1e9)}", "dim")
    return bar.append("\n").append(legend)


def _workers(workers: tuple[WorkerUse, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("worker", "batches", "CPU", "busy", "loop waited", "RSS", "private"):
        table.add_column(heading, justify="left" if heading == "worker" else "right")
    for use in workers[:_MOST_WORKERS]:
        table.add_row(
            str(use.worker),
            str(use.batches),
            "?" if use.cpu_share is None else share(use.cpu_share),
            "?" if use.busy_share is None else share(use.busy_share),
            duration(use.waited_s * 1e9),
            "?" if use.rss_bytes is None else amount(use.rss_bytes),
            "?" if use.private_bytes is None else amount(use.private_bytes),
        )
    if len(workers) > _MOST_WORKERS:
        table.add_row(f"and {len(workers) - _MOST_WORKERS} more")
    return table


def _lines(report: Report, loader: LoaderDiagnosis) -> Text | None:
    if not loader.culprits:
        return None
    text = Text("  Hottest lines", "bold")
    for culprit in loader.culprits[:_MOST_LINES]:
        where = f"{report.shown(culprit.site.file)}:{culprit.site.line}"
        measured = (
            f"{share(culprit.share):>6} of {culprit.stage}" if culprit.samples else f"  {culprit.stage}"
        )
        text.append(f"\n  {measured}  ").append(where, "cyan").append(f"  {culprit.site.function}", "default")
        if culprit.calls:
            text.append(f" -> {culprit.calls}", "dim")
        if culprit.finding is not None:
            text.append(f"  {culprit.finding.rule} {culprit.finding.name}", "bold yellow")
    for index, seconds in loader.slow_samples[:1] if loader.verdict == "straggler" else ():
        text.append(f"\n  slowest sample: index {index}, {duration(seconds * 1e9)}")
    return text


def _advice(advices: tuple[Advice, ...]) -> Text:
    text = Text("  What to change", "bold")
    for number, advice in enumerate(advices, 1):
        text.append(f"\n  {number}. ", "bold").append(advice.text, "default")
        if advice.prediction is not None:
            text.append(f"  {_gain(advice.prediction)}", "bold green")
            if "times_faster" in advice.change:
                text.append(f", were it {advice.change['times_faster']} times as fast", "dim")
    return text if advices else Text("")


def _gain(prediction: Prediction) -> str:
    return f"predicted {prediction.speedup:.2f}x ({prediction.low:.2f} to {prediction.high:.2f})"


def _findings(report: Report, findings: tuple[PricedFinding, ...]) -> Text:
    text = Text("\nFindings in the code, with what they cost in this run", "bold")
    for priced in findings[:_MOST_FINDINGS]:
        finding = priced.finding
        cost = "not priced" if priced.cost_s is None else duration(priced.cost_s * 1e9)
        if priced.cost_s is not None and priced.cost_share is not None:
            cost += f" ({share(priced.cost_share)})"
        text.append(f"\n  {cost:>16}  ", "bold" if priced.cost_s else "dim")
        text.append(f"{report.shown(finding.place.file)}:{finding.place.line} ", "cyan")
        text.append(f"{finding.rule} ", "bold yellow").append(finding.message, "default")
    if len(findings) > _MOST_FINDINGS:
        text.append(f"\n  and {len(findings) - _MOST_FINDINGS} more in report.json", "dim")
    return text
