"""Says while the command runs that it stands still: the reports of hangs come too late for a run that never ends."""

from __future__ import annotations

import time
from collections.abc import Callable

from dlcheck.probe.roster import Roster

_LONG_S = 60.0
_HOW = "Interrupt the run (Ctrl-C) for the report."


class Notices:
    """Calls ``notify`` once for each batch that was dropped, and for each wait of over a minute."""

    def __init__(self, notify: Callable[[str], None] | None) -> None:
        self._notify = notify
        self._told: set[object] = set()

    def tick(self, roster: Roster) -> None:
        """Say what is new."""
        if self._notify is None:
            return
        for pid, line in roster.dropped:
            trainer = next((w.trainer for w in roster.workers if w.pid == pid), pid)
            if trainer not in self._told:
                self._told.add(trainer)
                message = str(line.get("message")).partition("\n")[0][:200]
                self._notify(
                    f"batch {line.get('idx')} could not be sent by its worker ({line.get('type')}: {message}): the loop"
                    f" waits for it for ever. {_HOW}"
                )
        for trainer_process in roster.trainers.values():
            since = trainer_process.waiting_since()
            if (
                since is None
                or trainer_process.pid in self._told
                or (trainer_process.pid, since) in self._told
            ):
                continue
            waited_s = (time.monotonic_ns() - since) / 1e9
            if waited_s >= _LONG_S and trainer_process.is_running():
                self._told.add((trainer_process.pid, since))
                self._notify(f"the loop has waited {waited_s:.0f} s for one batch. {_HOW}")
