"""Other tools, asked about the same pipelines: one module per tool."""
