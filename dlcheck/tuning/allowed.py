"""What tuning may change: nothing that changes the data that the training gets."""

from __future__ import annotations

from pathlib import Path

from dlcheck.diagnosis.evidence import Evidence
from dlcheck.diagnosis.recording import Host
from dlcheck.tuning.edit import carried_out, plan
from dlcheck.tuning.search import Allowed, comes_again

_STALE, _UNSHARDED = "DLC405", "DLC402"


def allowed(host: Host, evidence: Evidence, keep_order: bool) -> Allowed:
    """What may be changed for this loader.

    The code is checked as it would be with the change: with persistent workers, does the dataset still hear of what
    the program changes in it between epochs? With more workers, does an iterable dataset divide itself among them?
    """
    settings, why = evidence.loader.settings, []
    workers = persistence = True
    if settings.get("iterable") and evidence.workers < 2:
        workers = False
        why.append("num_workers is left as it is: an iterable dataset must divide itself among its workers")
    elif settings.get("iterable") and _finds(_UNSHARDED, host, evidence, {}):
        workers = False
        why.append("num_workers is left as it is: each worker would yield the same samples (DLC402)")
    if comes_again(evidence) and evidence.loader.made == 1:
        if _finds(_STALE, host, evidence, {"persistent_workers": True, "num_workers": 2}) is not False:
            persistence = False
            why.append(
                "persistent_workers is left as it is: the dataset may be changed between epochs, or that cannot be"
                " excluded, and workers that persist would not see it (DLC405)"
            )
    else:
        persistence = False
    order = not keep_order and settings.get("in_order") is not None and not settings.get("iterable")
    return Allowed(workers, order, persistence, tuple(why))


def _finds(rule: str, host: Host, evidence: Evidence, change: dict[str, object]) -> bool | None:
    """Whether ``rule`` finds something in the code of the run with this change; None where that cannot be told."""
    from dlcheck.lint.api import check_paths
    from dlcheck.report.run_findings import sources_of

    site, overlay = evidence.loader.created_at, {}
    try:
        if change:
            path = evidence.project.absolute(site.file)
            source = Path(path).read_bytes()
            fix = plan(source, site.line, str(evidence.loader.settings.get("class")), change).fix
            if fix is None:
                return None
            overlay[path] = carried_out(source, fix)
        result = check_paths(sorted(sources_of(host)), select=(rule,), low_confidence=True, overlay=overlay)
    except (OSError, ValueError):
        return None
    return bool(result.findings) or (None if result.errors or result.failures else False)
