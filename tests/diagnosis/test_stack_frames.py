"""Of a stack that was sampled, what is the program's own is kept."""

from __future__ import annotations

from dlcheck.diagnosis.load_stacks import user_frames

_MAIN = [("/work/train.py", 40, "main"), ("/site/torch/utils/data/dataloader.py", 500, "__iter__")]
_FORKED = [
    ("/usr/lib/python3/multiprocessing/popen_fork.py", 66, "_launch"),
    ("/usr/lib/python3/multiprocessing/process.py", 314, "_bootstrap"),
]
_LOADS = [("/site/dlcheck/probe/stages.py", 190, "timed_fetch"), ("/work/data.py", 12, "__getitem__")]
_LOOP = ("/site/torch/utils/data/_utils/worker.py", 300, "_worker_loop")


def functions(frames: list[tuple[str, int, str]], forked: bool = False) -> list[str]:
    return [site.function for site in user_frames(frames, forked)]


def test_a_worker_begins_at_its_loop() -> None:
    assert functions([*_MAIN, *_FORKED, _LOOP, *_LOADS], forked=True) == ["__getitem__"]


def test_a_worker_that_is_not_in_its_loop_yet_does_not_stand_where_it_was_forked() -> None:
    assert functions([*_MAIN, *_FORKED], forked=True) == ["_bootstrap"]
    assert functions([*_MAIN, _FORKED[0]], forked=True) == []


def test_the_process_that_forks_is_where_it_forks() -> None:
    assert functions([*_MAIN, _FORKED[0]]) == ["main", "__iter__", "_launch"]
