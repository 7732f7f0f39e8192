"""More examples of DLC302, beside those of its page."""

FOUND = (
    """
    from dataclasses import dataclass
    import h5py
    from torch.utils.data import DataLoader, Dataset

    @dataclass
    class Spectra(Dataset):
        path: str

        def __post_init__(self):
            self.store = h5py.File(self.path, "r")  # <- DLC302

        def __len__(self):
            return len(self.store["flux"])

        def __getitem__(self, index):
            return self.store["flux"][index]

    def build(path):
        return DataLoader(Spectra(path), batch_size=64, num_workers=4)
    """,
    """
    import numpy as np
    import openslide
    from torch.utils.data import DataLoader, Dataset

    class Volumes(Dataset):
        def __init__(self, path):
            self.archive = np.load(path)  # <- DLC302
            self.names = self.archive.files

        def __len__(self):
            return len(self.names)

        def __getitem__(self, index):
            return self.archive[self.names[index]]

    class Tiles(Dataset):
        def __init__(self, path, corners):
            self.slide = openslide.OpenSlide(path)  # <- DLC302
            self.corners = corners

        def __len__(self):
            return len(self.corners)

        def __getitem__(self, index):
            return np.asarray(self.slide.read_region(self.corners[index], 0, (256, 256)))

    def build(volumes, slide, corners):
        return DataLoader(Volumes(volumes), 4, num_workers=4), DataLoader(Tiles(slide, corners), 4, num_workers=4)
    """,
    """
    import h5py
    from torch.utils.data import DataLoader, Dataset

    class Volumes(Dataset):
        def __init__(self, path):
            self.path = path
            self._file = None
            self.size = len(self.file["volumes"])
        @property
        def file(self):
            if self._file is None:
                self._file = h5py.File(self.path, "r")  # <- DLC302
            return self._file
        def __len__(self):
            return self.size
        def __getitem__(self, index):
            return self.file["volumes"][index]

    loader = DataLoader(Volumes("scans.h5"), num_workers=4)
    """,
    """
    import zipfile
    from torch.utils.data import DataLoader, Dataset

    class Archive:
        def __init__(self, path):
            self.zip = zipfile.ZipFile(path)  # <- DLC302
        def read(self, name):
            return self.zip.read(name)

    class Zipped(Dataset):
        def __init__(self, path, names):
            self.archive = Archive(path)
            self.names = names
        def __getitem__(self, i):
            return self.archive.read(self.names[i])

    def loader(path, names, workers):
        return DataLoader(Zipped(path, names), num_workers=workers)
    """,
)
CLEAN = (
    """
    import numpy as np
    from torch.utils.data import DataLoader, Dataset

    class Rows(Dataset):
        def __init__(self, path):
            self.rows = np.load(path)
        def __len__(self):
            return len(self.rows)
        def __getitem__(self, index):
            return self.rows[index]

    def build(path):
        return DataLoader(Rows(path), batch_size=4, num_workers=4)
    """,
    """
    import zipfile
    from torch.utils.data import DataLoader, Dataset

    class Archive(Dataset):
        def __init__(self, path):
            self.path = path
            self.archive = None
            self.names = self.opened().namelist()
            self.archive = None
        def opened(self):
            if self.archive is None:
                self.archive = zipfile.ZipFile(self.path)
            return self.archive
        def __getitem__(self, index):
            return self.opened().read(self.names[index])

    class Later(Dataset):
        def __init__(self, path):
            self.path = path
            self._archive = None
        @property
        def archive(self):
            if self._archive is None:
                self._archive = zipfile.ZipFile(self.path)
            return self._archive
        def __len__(self):
            return len(self.archive.namelist())
        def __getitem__(self, index):
            return self.archive.read(str(index))

    def loaders(path):
        return [DataLoader(files, num_workers=4) for files in (Archive(path), Later(path))]
    """,
    """
    # file: data.py
    import tarfile
    from torch.utils.data import Dataset

    class Tar(Dataset):
        def __init__(self, path):
            self.path = path
            self.tar = tarfile.open(path)
            self.members = self.tar.getmembers()
        def reopen(self):
            self.tar = tarfile.open(self.path)
        def __getitem__(self, i):
            return self.tar.extractfile(self.members[i]).read()
    # file: train.py
    from torch.utils.data import DataLoader, get_worker_info
    from data import Tar

    def init(worker_id):
        get_worker_info().dataset.reopen()

    loader = DataLoader(Tar("a.tar"), num_workers=4, worker_init_fn=init)
    """,
)
