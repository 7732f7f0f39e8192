"""dlcheck: why a PyTorch training loop waits for data, which line is to blame, what to change, what it gains.

In a notebook: ``with dlcheck.probe() as p: ...``, then ``p.report()``.
"""

__all__ = ["__version__", "probe"]
__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dlcheck.probe.notebook import Probe as probe


def __getattr__(name: str) -> object:
    # Imported when it is asked for: ``import dlcheck`` costs nothing.
    if name == "probe":
        import dlcheck.probe as probe

        return probe
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
