"""More examples of DLC102, beside those of its page."""

FOUND = (
    """
    import json
    from pathlib import Path
    from torch.utils.data import Dataset

    class Captions(Dataset):
        def __init__(self, root, names):
            self.root = Path(root)
            self.names = names
        def __getitem__(self, i):
            name = self.names[i]
            captions = json.loads((self.root / "captions.json").read_text())  # <- DLC102
            return captions[name], (self.root / f"{name}.txt").read_text()
    """,
    """
    # file: optional.py
    from importlib import import_module

    def lazily(name):
        try:
            return import_module(name)
        except ModuleNotFoundError:
            raise RuntimeError(f"pip install {name}") from None
    # file: data.py
    from torch.utils.data import Dataset

    from optional import lazily

    class Patches(Dataset):
        def __init__(self, path):
            self.path = path
            pd = lazily("pandas")
            self.index = pd.read_csv(path + ".csv")
        def __getitem__(self, i):
            h5py = lazily("h5py")
            with h5py.File(self.path, "r") as f:  # <- DLC102
                return f["patches"][i]
    """,
)
CLEAN = (
    """
    import h5py
    from torch.utils.data import Dataset

    _file = None

    def opened(path):
        global _file
        if _file is None:
            _file = h5py.File(path, "r")
        return _file

    class Volumes(Dataset):
        def __init__(self, path):
            self.path = path
        def __getitem__(self, index):
            return opened(self.path)["images"][index]
    """,
    """
    import numpy as np
    from torch.utils.data import Dataset

    class Days(Dataset):
        def __init__(self, folder, starts):
            self.folder, self.starts = folder, starts
            self.day = 0
        def __getitem__(self, index):
            if index in self.starts:
                self.first = index
                self.rows = np.load(f"{self.folder}/day_{self.day}.npy")
                self.day = (self.day + 1) % len(self.starts)
            return self.rows[index - self.first]

    class Pages(Dataset):
        def __init__(self, header):
            self.header = header
        def __getitem__(self, index):
            if index == 0:
                self.names = np.load(self.header)
            return self.names[index]
    """,
)
