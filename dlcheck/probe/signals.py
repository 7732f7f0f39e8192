"""Signals: passed on to the user's command, and its end passed on to whoever called us."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

_FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
_FROM_KERNEL = 0x80  # SI_KERNEL of asm-generic/siginfo.h


def shell_status(exit_code: int) -> int:
    """The exit status as a shell reports it: 128 + n for a command that signal n ended (``exit_code`` -n)."""
    return 128 - exit_code if exit_code < 0 else exit_code


def exit_as(exit_code: int) -> NoReturn:
    """End this process as the command ended:

    with its status, or by the signal that ended it (``exit_code`` -n).
    """
    if exit_code < 0:
        sys.stdout.flush()
        sys.stderr.flush()
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        with contextlib.suppress(OSError, ValueError):
            signal.signal(-exit_code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-exit_code})
        os.kill(os.getpid(), -exit_code)
    sys.exit(shell_status(exit_code))


@contextlib.contextmanager
def forwarding() -> Iterator[tuple[Callable[[], None], Callable[[int], list[int]]]]:
    """Keep the signals that end a command from this process, and pass them on to the child.

    Yields two functions: one to be called in the child before it runs the command (``preexec_fn``), which
    gives it the signal mask that we were started with, and one that names the child, and returns the list to
    which each signal that comes is added. A signal that the kernel sent (a key on the terminal, its hang-up) has
    reached the whole foreground group, the child included, and is not passed on. One that another process sent to
    the whole group reaches the child twice, from there and from here.
    """
    wanted = {getattr(signal, name) for name in _FORWARDED if hasattr(signal, name)}
    wanted = {number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN}
    if not hasattr(signal, "sigtimedwait") or threading.current_thread() is not threading.main_thread():
        yield (lambda: None), (lambda pid: [])
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    child: list[int] = []
    received: list[int] = []
    done = threading.Event()

    def forward() -> None:
        while not done.is_set():
            info = signal.sigtimedwait(wanted, 0.2)
            if info is None:
                continue
            received.append(info.si_signo)
            if info.si_code != _FROM_KERNEL and child:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child[0], info.si_signo)

    thread = threading.Thread(target=forward, name="dlcheck_signals", daemon=True)

    def unmask() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def watch(pid: int) -> list[int]:
        child.append(pid)
        thread.start()
        return received

    try:
        yield unmask, watch
    finally:
        done.set()
        if thread.is_alive():
            thread.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
