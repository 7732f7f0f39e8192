"""More examples of DLC402, beside those of its page."""

FOUND: tuple[str, ...] = ()
CLEAN = (
    """
    import queue
    import webdataset as wds
    from torch.utils.data import DataLoader, IterableDataset

    class Received(IterableDataset):
        def __init__(self, source):
            self.source = source
        def __iter__(self):
            for message in self.source:
                yield message

    class Pending(IterableDataset):
        def __init__(self, tasks):
            self.tasks = tasks
        def __iter__(self):
            while True:
                task = self.tasks.get()
                if task is None:
                    return
                yield task

    class Files(IterableDataset):
        def __init__(self, tasks):
            self.tasks = tasks
        def __iter__(self):
            while not self.tasks.empty():
                path = self.tasks.get()
                with open(path) as f:
                    yield f.read()
            for path in iter(self.tasks.get, None):
                with open(path) as f:
                    yield f.read()

    class Archive(IterableDataset):
        def __init__(self, url):
            self.data = wds.WebDataset(url).decode()
        def __iter__(self):
            for sample in self.data:
                yield sample["jpg"]

    def main(source, tasks):
        return [DataLoader(d, num_workers=4) for d in (Received(source), Pending(tasks), Files(tasks))], DataLoader(
            Archive("x"), num_workers=4
        )
    """,
)
