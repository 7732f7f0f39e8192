"""More examples of DLC308, beside those of its page."""

FOUND = (
    """
    import threading
    from queue import Queue
    from torch.utils.data import DataLoader, IterableDataset

    class Background(threading.Thread):
        def __init__(self, source):
            super().__init__(daemon=True)
            self.source = source
            self.queue = Queue(4)
            self.start()  # <- DLC308
        def run(self):
            for item in self.source:
                self.queue.put(item)
        def next(self):
            return self.queue.get()

    class Stream(IterableDataset):
        def __init__(self, source):
            self.background = Background(source)
        def __iter__(self):
            while True:
                yield self.background.next()

    def main(source):
        return DataLoader(Stream(source), num_workers=1)
    """,
    """
    import threading
    from queue import Queue
    from torch.utils.data import DataLoader, IterableDataset

    class Receiver(threading.Thread):
        def __init__(self, connection):
            super().__init__(daemon=True)
            self.connection, self.received = connection, Queue(16)

        def run(self):
            while True:
                self.received.put(self.connection.recv())

    class Messages(IterableDataset):
        def __init__(self, connection):
            self.receiver = Receiver(connection)
            self.receiver.start()  # <- DLC308

        def __iter__(self):
            while (message := self.receiver.received.get()) is not None:
                yield message

    def build(connection):
        return DataLoader(Messages(connection), batch_size=None, num_workers=1)
    """,
)
CLEAN = (
    """
    import queue
    import threading
    from torch.utils.data import DataLoader, Dataset

    class Inline(Dataset):
        def __init__(self, source):
            self.ready = queue.Queue(8)
            self.source = source
            threading.Thread(target=self._fill, daemon=True).start()
        def _fill(self):
            for item in self.source:
                self.ready.put(item)
        def __getitem__(self, index):
            return self.ready.get()

    def main(source):
        return DataLoader(Inline(source), num_workers=0)
    """,
)
