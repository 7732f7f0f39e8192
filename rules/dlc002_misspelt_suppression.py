"""A comment is meant to suppress a finding, and does not.

A comment for dlcheck that it does not understand, or a code that no rule has, hides nothing.

**Found:** `# dlcheck: ...` that is neither `ignore` nor `ignore-file`, or that has codes outside of brackets; codes and names in
brackets that no rule has.

**Left alone:** comments that speak of dlcheck in other ways; unknown codes in a `# noqa:`, which other linters may know.

**Fix:** a code that comes near to one that is found at this place is corrected; else it is taken out.

**Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.lint.rule import Report, Rule
from dlcheck.program.program import Program


def check(program: Program) -> Iterator[Report]:
    """Nothing: comments are no part of the program. ``dlcheck.lint.suppress`` finds these."""
    yield from ()


RULE = Rule(
    code="DLC002",
    name="misspelt-suppression",
    severity="warning",
    check=check,
    page=__doc__ or "",
    found=(
        """
        import itertools
        from torch.utils.data import DataLoader

        def repeat(dataset):
            return itertools.cycle(DataLoader(dataset))  # dlcheck: ignore[DLC5O3] one batch only  # <- DLC002
        """,
        """
        import itertools
        from torch.utils.data import DataLoader

        def repeat(dataset):
            return itertools.cycle(DataLoader(dataset))  # dlcheck: disable=DLC503  # <- DLC002
        """,
        """
        import itertools
        from torch.utils.data import DataLoader

        def repeat(dataset):
            # dlcheck: ignore DLC503  # <- DLC002
            return itertools.cycle(DataLoader(dataset))
        """,
        """
        # dlcheck: ignore-file[cycled-loaders] replayed on purpose  # <- DLC002
        import itertools
        from torch.utils.data import DataLoader

        def repeat(dataset):
            return itertools.cycle(DataLoader(dataset))
        """,
    ),
    clean=(
        """
        import itertools
        from torch.utils.data import DataLoader

        def repeat(dataset):
            return itertools.cycle(DataLoader(dataset))  # dlcheck: ignore[DLC503] one batch only
        """,
        """
        def nothing():  # dlcheck finds nothing here, and that is right
            return 0
        """,
        """
        import os  # noqa: XYZ123
        """,
        """
        TEXT = "# dlcheck: off"
        """,
    ),
)
