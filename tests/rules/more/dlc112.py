"""More examples of DLC112, beside those of its page."""

FOUND = (
    """
    import numpy as np
    from torch.utils.data import Dataset

    class Clouds(Dataset):
        def __init__(self, paths):
            self.paths = paths
            self.seen = {}
        def __getitem__(self, i):
            if i in self.seen:
                points, label = self.seen[i]
            else:
                data = np.load(self.paths[i])
                points, label = data[:, :3], data[0, 3]
                if len(self.seen) < 1000:
                    self.seen[i] = points, label
            points[:, :2] += np.random.uniform(-0.1, 0.1, 2)  # <- DLC112
            points = points[np.random.choice(len(points), 512)]
            return points, label
    """,
)
CLEAN = (
    """
    import numpy as np
    from torch.utils.data import Dataset

    class Clouds(Dataset):
        def __init__(self, paths):
            self.seen = {}
        def __getitem__(self, i):
            if i in self.seen:
                points = self.seen[i]
            else:
                points = np.load(self.paths[i])
                points[:, :3] *= 0.01
                self.seen[i] = points
            points[:, :3] = normalize(points[:, :3])
            points = points.copy()
            points[:, :2] += np.random.uniform(-0.1, 0.1, 2)
            return points
    """,
)
