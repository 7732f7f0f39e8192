"""The codes of what is said about comments that suppress findings; ``dlcheck.lint.suppress`` finds these."""

UNUSED, MISSPELT, NO_REASON = "DLC001", "DLC002", "DLC003"
