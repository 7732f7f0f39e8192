"""What ``dlcheck tune`` has found, as JSON: schema ``dlcheck.tune/1``. Times in seconds; null: not known."""

from __future__ import annotations

import json
from typing import Any

from dlcheck.tuning.edit import in_words
from dlcheck.tuning.tune import Tried, Tuning

SCHEMA = "dlcheck.tune/1"


def tuning_json(tuning: Tuning, diff: str, written: bool) -> str:
    """As text, with a line break at its end."""
    site, winner, outcome = tuning.target.site, tuning.winner, tuning.outcome
    value = {
        "schema": SCHEMA,
        "created_at": {"file": site.file, "line": site.line, "function": site.function},
        "dataset": tuning.target.dataset,
        "settings": dict(tuning.settings),
        "result": "none" if outcome is None else outcome.word,
        "first_run": {"batches": tuning.batches, "loop_s": tuning.loop_s, "wait_share": tuning.wait_share},
        "search": {
            "replayed": tuning.search.replayed,
            "no_room": list(tuning.search.crowded),
            "refusal": tuning.search.refusal,
        },
        "tried": [_tried(tried) for tried in tuning.tried],
        "window": {"first": tuning.window[0], "last": tuning.window[1]},
        "rounds": 0 if outcome is None else outcome.rounds,
        "runs": tuning.runs,
        "spent_s": tuning.spent_s,
        "winner": None if winner is None else dict(winner.choice.change),
        "edit": None if winner is None else _edit(tuning, winner, diff, written),
        "notes": list(tuning.why),
    }
    return json.dumps(value, indent=2, default=str) + "\n"


def _tried(tried: Tried) -> dict[str, Any]:
    prediction, ratio = tried.choice.prediction, tried.ratio
    interval = ratio.interval if ratio is not None else None
    return {
        "change": dict(tried.choice.change),
        "predicted": prediction
        and {"speedup": prediction.speedup, "low": prediction.low, "high": prediction.high},
        "measured": ratio
        and {
            "speedup": ratio.value,
            "low": interval[0] if interval else None,
            "high": interval[1] if interval else None,
            "rounds": ratio.rounds,
        },
        "batch_s": list(tried.batch_s),
        "out": tried.out,
    }


def _edit(tuning: Tuning, winner: Tried, diff: str, written: bool) -> dict[str, Any]:
    site = tuning.target.site
    return {
        "file": site.file,
        "line": site.line,
        "arguments": in_words(winner.choice.change),
        "diff": diff,
        "written": written,
        "by_hand": tuning.plan.why_not if tuning.plan is not None else "",
    }
