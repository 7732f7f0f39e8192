"""More examples of DLC406, beside those of its page."""

FOUND: tuple[str, ...] = ()
CLEAN = (
    """
    import numpy as np
    from torch.utils.data import Dataset

    class Rows(Dataset):
        def __init__(self, rows):
            self.rows = rows
        def __getitem__(self, index):
            row = self.rows[index]
            try:
                weight = float(row.weight)
            except Exception:
                weight = 1.0
            f = open(row.path, "rb")
            x = np.frombuffer(f.read())
            try:
                f.close()
            except Exception:
                pass
            return x, weight
    """,
)
