"""The start-up module of a probed run: found first on PYTHONPATH by every Python process of the run.

It waits for torch's loader to be imported, and costs next to nothing where that never happens. It takes
itself off ``sys.path``, and hands over to the ``sitecustomize`` that would have been found without it.
Nothing is imported from dlcheck until there is something to hook, and then by a finder for exactly that
package: the rest of the environment that dlcheck is installed in stays invisible.
"""

import os
import sys
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
_PACKAGE = os.path.dirname(os.path.dirname(_HERE))  # noqa: PTH120
_HOOKED = ("torch.utils.data.dataloader", "torchdata.stateful_dataloader.stateful_dataloader")


class Finder:
    """Finds ``dlcheck``, and hooks the modules of _HOOKED when they have been executed."""

    def __init__(self, recording: str) -> None:
        self._recording = recording

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name in _HOOKED:
            return self._hooked(name, path, target)
        if name == "dlcheck":
            from importlib.util import spec_from_file_location

            return spec_from_file_location(
                name, os.path.join(_PACKAGE, "__init__.py"), submodule_search_locations=[_PACKAGE]  # noqa: PTH118
            )  # fmt: skip
        return None

    def _hooked(self, name: str, path: Any, target: Any) -> Any:
        spec = None
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    break
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            # What is loaded here would bring the next full collection nearer, and every worker would pay for it anew when
            # it comes just after they are forked: 110 ms with torch loaded.
            import gc

            collects = gc.isenabled()
            gc.disable()
            try:
                from dlcheck.probe.hooks import install

                install(module, self._recording)
            except Exception as error:
                _complain(self._recording, error)
            finally:
                if collects:
                    gc.enable()

        try:
            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        except AttributeError as error:
            _complain(self._recording, error)
        return spec


def _complain(recording: str, error: Exception) -> None:
    try:
        with open(os.path.join(recording, "events", f"{os.getpid()}-failed.jsonl"), "a") as file:  # noqa: PTH118, PTH123
            file.write('{"kind": "trouble", "hook": "install", "error": "%s"}\n' % type(error).__name__)  # noqa: UP031
    except Exception:
        pass


def _start() -> None:
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _HERE]  # noqa: PTH100
    recording = os.environ.get("DLCHECK_RECORDING")
    if recording and sys.version_info >= (3, 10):
        sys.meta_path.insert(0, Finder(recording))


def _chain() -> None:
    """Run the user's own ``sitecustomize``;

    what it raises is reported by ``site`` as it would be without us.
    """
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec("sitecustomize")
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    try:
        _start()
    finally:
        _chain()
