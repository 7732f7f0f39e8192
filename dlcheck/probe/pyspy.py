"""py-spy as a tool: found, tried, and run. What it can do here is found out once, on a process of our own."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlcheck.probe import fallback

_TRY_TIMEOUT_S = 10.0
_DUMP_TRIES = 3
_DUMP_TIMEOUT_S = 10.0
_PR_SET_PDEATHSIG = 1
_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")
INSTEAD = "stacks are sampled inside the workers instead"


def find() -> str | None:
    """The py-spy that was installed with dlcheck, or one on PATH; None where there is none."""
    beside = Path(sys.executable).parent / "py-spy"
    return str(beside) if beside.exists() else shutil.which("py-spy")


def die_with_parent() -> Callable[[], None] | None:
    """A ``preexec_fn``: the child ends with the thread that starts it, be it by SIGKILL (prctl(2))."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    return prepare


def try_out(executable: str) -> str | None:
    """Why py-spy cannot be used here, in one line with the remedy; None when it can."""
    code = "import sys, time; sys.stdout.write('.'); sys.stdout.flush(); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-IS", "-c", code],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=_traceable,
    ) as target:
        try:
            assert target.stdout is not None
            target.stdout.read(1)
            return try_on(executable, target.pid)
        finally:
            target.kill()


def try_on(executable: str, pid: int) -> str | None:
    """Why py-spy cannot read the stacks of a process, in one line with the remedy; None when it can."""
    try:
        done = subprocess.run(
            [executable, "dump", "--json", "--pid", str(pid)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_TRY_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"py-spy cannot be run here ({error}): {INSTEAD}"
    return None if done.returncode == 0 else _explain(done.stderr)


def _traceable() -> None:
    prepare = die_with_parent()
    if prepare is not None:
        prepare()
        fallback.allow_tracing()


def _explain(message: str) -> str:
    text = message.lower()
    if "permission" not in text and "not permitted" not in text:
        line = next((line for line in message.splitlines() if line.strip()), "no message")
        return f"py-spy does not work here ({line.strip()}): {INSTEAD}"
    return f"py-spy may not trace processes here: {INSTEAD} (remedy: {_remedy()})"


def _remedy() -> str:
    """How to get the right to trace, on this machine."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "add SYS_PTRACE to the container's securityContext.capabilities"
    if any(Path(mark).exists() for mark in _CONTAINER_MARKS):
        return "start the container with --cap-add SYS_PTRACE"
    if os.geteuid() == 0:
        return "give this service or container the capability SYS_PTRACE"
    scope = fallback.ptrace_scope()
    if scope == "3":
        return "start the system with kernel.yama.ptrace_scope=0: what is 3 stays until then"
    if scope in ("1", "2"):
        return "sysctl kernel.yama.ptrace_scope=0, or run as root"
    return "run as root, or give py-spy the capability: setcap cap_sys_ptrace=ep"


def dump(executable: str, pid: int) -> list[dict[str, Any]]:
    """The stacks of all threads of a process now; empty where they cannot be had.

    The process is not stopped: one that hangs does not move, and only one tracer at a time can stop it, which may be the
    sampler. Read while it moves, a stack can be torn, and is read again.
    """
    threads: list[dict[str, Any]] = []
    for _ in range(_DUMP_TRIES):
        threads = _dump_once(executable, pid)
        if threads:
            break
    return [
        {
            "thread": thread.get("thread_name") or "",
            "tid": thread.get("os_thread_id"),
            "active": bool(thread.get("active")),
            "frames": [(f["filename"], f["line"], f["name"]) for f in reversed(thread.get("frames", ()))],
        }
        for thread in threads
    ]


def _dump_once(executable: str, pid: int) -> list[dict[str, Any]]:
    try:
        done = subprocess.run(
            [executable, "dump", "--json", "--nonblocking", "--pid", str(pid)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_DUMP_TIMEOUT_S,
            check=False,
        )
        found: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    return found
