"""More examples of DLC405, beside those of its page."""

FOUND = (
    """
    import numpy as np
    from torch.utils.data import DataLoader, Dataset

    class Hard(Dataset):
        def __init__(self, samples):
            self.samples = samples
            self.weights = np.ones(len(samples))

        def note(self, index, loss):
            self.weights[index] = loss

        def __len__(self):
            return len(self.samples)

        def __getitem__(self, index):
            return index, self.samples[index] * self.weights[index]

    def main(samples, model):
        dataset = Hard(samples)
        loader = DataLoader(dataset, 8, num_workers=4, persistent_workers=True)
        for epoch in range(5):
            for index, x in loader:
                loss = model(x)
                loss.backward()
                dataset.note(index, loss.item())  # <- DLC405
    """,
)
CLEAN = (
    """
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Hard(Dataset):
        def __init__(self, samples):
            self.samples = samples
            self.weights = torch.ones(len(samples)).share_memory_()

        def note(self, index, loss):
            self.weights[index] = loss

        def __len__(self):
            return len(self.samples)

        def __getitem__(self, index):
            return index, self.samples[index] * self.weights[index]

    def main(samples, model):
        dataset = Hard(samples)
        loader = DataLoader(dataset, 8, num_workers=4, persistent_workers=True)
        for epoch in range(5):
            for index, x in loader:
                dataset.note(index, model(x).item())
    """,
)
