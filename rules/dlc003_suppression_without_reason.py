"""A comment suppresses a finding and does not say why.

Whoever reads it later cannot tell a false finding from a fault that somebody had no time for. Asked for by the setting
`require-reason = true`, or by naming this rule in `select`; off by default.

**Found:** `# dlcheck: ignore[CODE]` and `# dlcheck: ignore-file[CODE]` with nothing behind.

**Left alone:** `# noqa`, which has no place for a reason.

**Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.lint.rule import Report, Rule
from dlcheck.program.program import Program


def check(program: Program) -> Iterator[Report]:
    """Nothing: comments are no part of the program. ``dlcheck.lint.suppress`` finds these."""
    yield from ()


RULE = Rule(
    code="DLC003",
    name="suppression-without-reason",
    severity="info",
    check=check,
    page=__doc__ or "",
    found=(
        """
        import itertools
        from torch.utils.data import DataLoader

        def repeat(dataset):
            return itertools.cycle(DataLoader(dataset))  # dlcheck: ignore[DLC503]  # <- DLC003
        """,
        """
        # dlcheck: ignore-file[cycled-loader]  # <- DLC003
        import itertools
        from torch.utils.data import DataLoader

        def repeat(dataset):
            return itertools.cycle(DataLoader(dataset))
        """,
        """
        import itertools
        from torch.utils.data import DataLoader

        def repeat(dataset):
            return itertools.cycle(DataLoader(dataset))  # dlcheck: ignore  # <- DLC003
        """,
        """
        import itertools
        from torch.utils.data import DataLoader

        def repeat(dataset):
            return itertools.cycle(DataLoader(dataset))  # type: ignore  # dlcheck: ignore[DLC503]  # <- DLC003
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
        import itertools
        from torch.utils.data import DataLoader

        def repeat(dataset):
            return itertools.cycle(DataLoader(dataset))  # noqa: DLC503
        """,
        """
        def nothing():  # nothing to say
            return 0
        """,
    ),
)
