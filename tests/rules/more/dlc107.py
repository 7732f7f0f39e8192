"""More examples of DLC107, beside those of its page."""

FOUND = (
    """
    import pandas as pd
    from torch.utils.data import Dataset

    class Boxes(Dataset):
        def __init__(self, names, path):
            self.names = names
            self.table = pd.read_csv(path)
        def __getitem__(self, i):
            name = self.names[i]
            rows = self.table.query("image == @name")  # <- DLC107
            return rows[["x", "y"]].to_numpy()

    import polars as pl

    class Ratings(Dataset):
        def __init__(self, path):
            self.table = pl.read_parquet(path)
        def __getitem__(self, i):
            return self.table.filter(pl.col("user") == i)["item"].to_numpy()  # <- DLC107
    """,
)
CLEAN = (
    """
    import pandas as pd
    import torch
    from torch.utils.data import Dataset

    class Table(Dataset):
        def __init__(self, path):
            self.table = pd.read_parquet(path)
        def __getitems__(self, indices):
            return torch.from_numpy(self.table.iloc[indices].to_numpy())
    """,
    """
    from scipy.spatial import KDTree
    from torch.utils.data import Dataset

    class Neighbours(Dataset):
        def __init__(self, points):
            self.points = points
            self.tree = KDTree(points)
        def __getitem__(self, i):
            return self.tree.query(self.points[i], k=8)
    """,
    """
    import os
    import pandas as pd
    from torch.utils.data import Dataset
    from torchvision.io import read_image

    class Images(Dataset):
        def __init__(self, annotations, folder):
            self.labels = pd.read_csv(annotations)
            self.folder = folder
        def __len__(self):
            return len(self.labels)
        def __getitem__(self, idx):
            row = self.labels.iloc[idx]
            return read_image(os.path.join(self.folder, row["path"])), row["label"]
    """,
    """
    import pandas as pd
    from PIL import Image
    from torch.utils.data import Dataset

    class Captions(Dataset):
        def __init__(self, table, image_column):
            frame = pd.read_csv(table)
            self.images = frame[image_column]
            self.captions = frame["caption"]
        def __getitem__(self, index):
            return Image.open(self.images.iloc[index]), self.captions.iloc[index]
    """,
)
