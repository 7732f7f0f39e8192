"""dlcheck: why a PyTorch training loop waits for data, which line is to blame, what to change, what it gains."""

__version__ = "0.1.0"
