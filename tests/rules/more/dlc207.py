"""More examples of DLC207, beside those of its page."""

FOUND: tuple[str, ...] = ()
CLEAN = (
    """
    from torch.utils.data import ConcatDataset, DataLoader

    def learn(tasks, model):
        seen = []
        for task in tasks:
            seen.append(task)
            loader = DataLoader(ConcatDataset(seen), batch_size=8, shuffle=True, num_workers=2)
            for batch in loader:
                model(batch).backward()
    """,
    """
    from torch.utils.data import DataLoader

    def build(dataset):
        return DataLoader(dataset, batch_size=8, num_workers=2)

    def show(dataset, steps):
        loader = build(dataset)
        print(len(loader))
        for step in steps:
            loader = build(dataset)
            loader.dataset.start = step * 8
            print(next(iter(loader)))
    """,
    """
    from torch.utils.data import DataLoader

    def main(make_model, dataset):
        for run in range(5):
            model = make_model()
            loader = DataLoader(dataset, num_workers=4)
            for epoch in range(10):
                for x in loader:
                    model(x).backward()
    """,
    """
    def first(groups):
        for group in groups:
            settings = {"a": 1}
            key = next(iter(settings))
            print(key, group)
    """,
)
