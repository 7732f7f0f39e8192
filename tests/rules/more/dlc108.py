"""More examples of DLC108, beside those of its page."""

FOUND = (
    """
    from functools import lru_cache
    import numpy as np
    from torch.utils.data import Dataset

    class Arrays(Dataset):
        def __init__(self, files):
            self.files = files
        @lru_cache(maxsize=None)  # <- DLC108
        def load(self, i):
            return np.load(self.files[i])
        def __getitem__(self, i):
            return self.load(i)
    """,
    """
    import numpy as np
    from torch.utils.data import Dataset

    _LOADED = {}

    def load(path):
        if path not in _LOADED:
            _LOADED[path] = np.load(path)  # <- DLC108
        return _LOADED[path]

    class Arrays(Dataset):
        def __init__(self, files):
            self.files = files
        def __getitem__(self, i):
            return load(self.files[i])
    """,
)
CLEAN = (
    """
    import numpy as np
    from torch.utils.data import Dataset

    _LOADED = {}

    def load(path):
        if path not in _LOADED:
            if len(_LOADED) > 32:
                _LOADED.clear()
            _LOADED[path] = np.load(path)
        return _LOADED[path]

    class Arrays(Dataset):
        def __init__(self, files):
            self.files = files
        def __getitem__(self, i):
            return load(self.files[i])
    """,
    """
    import numpy as np
    from torch.utils.data import Dataset

    class Ring(Dataset):
        def __init__(self, files):
            self.files = files
            self.kept, self.keys = [None] * 8, [None] * 8
        def __getitem__(self, i):
            place = i % 8
            if self.keys[place] != i:
                self.kept[place] = np.load(self.files[i])
                self.keys[place] = i
            return self.kept[place]
    """,
    """
    from multiprocessing import Manager
    import numpy as np
    from torch.utils.data import Dataset

    class Shared(Dataset):
        def __init__(self, files):
            self.files = files
            self.manager = Manager()
            self.cache = self.manager.list()
            self.cache += [None for _ in files]
        def __getitem__(self, i):
            if self.cache[i] is None:
                self.cache[i] = np.load(self.files[i])
            return self.cache[i]
    """,
    """
    import torchaudio
    from torch.utils.data import Dataset

    class Sounds(Dataset):
        def __init__(self, files):
            self.files = files
            self.resamplers = {}
        def __getitem__(self, i):
            sound, rate = torchaudio.load(self.files[i])
            if rate not in self.resamplers:
                self.resamplers[rate] = torchaudio.transforms.Resample(rate, 16000)
            return self.resamplers[rate](sound)
    """,
    """
    import numpy as np
    from torch.utils.data import DataLoader, Dataset

    class Arrays(Dataset):
        def __init__(self, files):
            self.files = files
            self.cache = {}
        def __getitem__(self, i):
            if i not in self.cache:
                self.cache[i] = np.load(self.files[i])
            return self.cache[i]

    def loader(files):
        return DataLoader(Arrays(files), batch_size=8, num_workers=0)
    """,
    """
    import numpy as np
    from torch.utils.data import Dataset

    class Counted(Dataset):
        def __init__(self, files):
            self.files = files
            self.seen = {}
        def __getitem__(self, i):
            self.seen[i] = self.seen.get(i, 0) + 1
            return np.load(self.files[i])
    """,
)
