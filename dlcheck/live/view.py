"""The state of a run as lines for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dlcheck.diagnosis.units import amount, duration, share
from dlcheck.live.state import LiveState, LoaderState

_MOST_WORKERS = 16
_GOOD, _BAD = "bold green", "bold red"


def render(state: LiveState, most_loaders: int = 8) -> RenderableType:
    """Everything: per loader its rate, its waits, the verdict, and what each worker does."""
    parts: list[RenderableType] = [_title(state)]
    for loader in state.loaders[:most_loaders]:
        parts += [Text(""), _headline(loader), _verdict(loader, whole=True)]
        if loader.workers:
            parts.append(_workers(loader))
    if not state.loaders:
        parts.append(Text("  no loop over a loader in the last seconds", "dim"))
    parts += [Text(f"  {incident}", _BAD) for incident in state.incidents[-3:]]
    return Group(*parts)


def render_short(state: LiveState, lines: int) -> RenderableType:
    """The same in a few lines: two for each loader."""
    parts: list[RenderableType] = [_title(state)]
    for loader in state.loaders[: max(1, (lines - 1) // 2)]:
        parts += [_headline(loader), _verdict(loader)]
    parts += [Text(f"  {incident}", _BAD) for incident in state.incidents[-1:]]
    return Group(*parts)


def _title(state: LiveState) -> Text:
    text = Text("dlcheck", "bold").append(f"  {duration(state.seconds * 1e9)}", "default")
    if not state.running:
        text.append(", has ended", "default")
    if state.machine_cores is not None:
        text.append(f", machine uses {state.machine_cores:.1f} cores", "dim")
    if state.shm_free_bytes is not None:
        text.append(f", /dev/shm {amount(state.shm_free_bytes)} free", "dim")
    return text


def _headline(loader: LoaderState) -> Text:
    text = Text(loader.place, "bold cyan", no_wrap=True, overflow="ellipsis")
    if loader.rank is not None:
        text.append(f" rank {loader.rank}", "default")
    facts = []
    if loader.batches is not None and loader.batches_per_s is not None:
        facts.append(f"{loader.batches} batches, {loader.batches_per_s:.3g}/s")
    facts += [f"waits {share(loader.wait_share)}"] if loader.wait_share is not None else []
    facts += [f"{loader.ready} ready"] if loader.ready is not None else []
    return text.append(f"  {', '.join(facts)}", "default").append(f"  {loader.now}", "dim")


def _verdict(loader: LoaderState, whole: bool = False) -> RenderableType:
    """The verdict on one line; ``whole``: on as many as it takes."""
    style = _GOOD if loader.verdict == "healthy" else _BAD
    text = Text(loader.verdict, style).append(f"  {loader.sentence}", "default")
    if not whole:
        text.no_wrap, text.overflow = True, "ellipsis"
    return Padding(text, (0, 0, 0, 2))


def _workers(loader: LoaderState) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for heading in ("worker", "process", "cores", "RSS", "does"):
        table.add_column(heading, justify="left" if heading in ("worker", "does") else "right")
    for worker in loader.workers[:_MOST_WORKERS]:
        table.add_row(
            str(worker.worker),
            str(worker.pid),
            "?" if worker.cores is None else f"{worker.cores:.2f}",
            "?" if worker.rss_bytes is None else amount(worker.rss_bytes),
            worker.doing,
        )
    if len(loader.workers) > _MOST_WORKERS:
        table.add_row(f"and {len(loader.workers) - _MOST_WORKERS} more")
    return table
