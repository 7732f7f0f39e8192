"""What runs inside or beside the training.

Called, it probes a part of a program: ``with dlcheck.probe() as p: ...``; see ``dlcheck.probe.notebook``.
"""

import sys
import types


class _Module(types.ModuleType):
    def __call__(self, *args: object, **kwargs: object) -> object:
        from dlcheck.probe.notebook import Probe

        return Probe(*args, **kwargs)  # type: ignore[arg-type]


sys.modules[__name__].__class__ = _Module
