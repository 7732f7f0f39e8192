"""A comment suppresses a finding that is not there.

The code under it was mended, or moved, and the comment stayed. It says of the code what is not true, and would hide the
next fault at this place. Every rule is asked for this, also those that the settings leave out: a comment that hides a
finding of such a rule is used.

**Found:** `# dlcheck: ignore[CODE]` and `# dlcheck: ignore-file[CODE]` where the rule finds nothing; the codes of dlcheck in
a `# noqa:`.

**Left alone:** codes of other linters; a bare `# noqa`, which may be meant for them.

**Fix:** the code is taken out of the comment, and the comment away if no code is left.

**Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.lint.rule import Report, Rule
from dlcheck.program.program import Program


def check(program: Program) -> Iterator[Report]:
    """Nothing: comments are no part of the program. ``dlcheck.lint.suppress`` finds these."""
    yield from ()


RULE = Rule(
    code="DLC001",
    name="unused-suppression",
    severity="info",
    check=check,
    page=__doc__ or "",
    found=(
        """
        import torch
        from torch.utils.data import DataLoader

        def loader(dataset):
            return DataLoader(dataset, pin_memory=True)  # dlcheck: ignore[DLC201] on the CPU  # <- DLC001
        """,
        """
        # dlcheck: ignore-file[cycled-loader] replayed on purpose  # <- DLC001
        import itertools

        def repeat(numbers):
            return itertools.cycle(numbers)
        """,
        """
        import itertools
        from torch.utils.data import DataLoader

        def repeat(dataset):
            loader = DataLoader(dataset)
            return itertools.cycle(loader)  # noqa: E501,DLC503,DLC102  # <- DLC001
        """,
        """
        def nothing():  # dlcheck: ignore  # <- DLC001
            return 0
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
        # dlcheck: ignore-file[cycled-loader] replayed on purpose
        import itertools
        from torch.utils.data import DataLoader

        def repeat(dataset):
            return itertools.cycle(DataLoader(dataset))
        """,
        """
        import os  # noqa: F401
        import sys  # noqa
        """,
        """
        import itertools
        from torch.utils.data import DataLoader

        def repeat(dataset):
            # dlcheck: ignore[DLC503] one batch only
            return itertools.cycle(
                DataLoader(dataset),
            )
        """,
        """
        TEXT = "# dlcheck: ignore[DLC503] is how a finding is suppressed"
        """,
    ),
)
