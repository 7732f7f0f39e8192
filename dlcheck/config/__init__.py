"""Settings: from ``pyproject.toml``, ``dlcheck.toml`` and the command line to one plain value per folder."""
