"""More examples of DLC301, beside those of its page."""

FOUND = (
    """
    import asyncio
    from torch.utils.data import DataLoader

    def throughput(loader, step):
        for batch in loader:
            step(batch)

    async def main(dataset, steps):
        loader = DataLoader(dataset, batch_size=4, num_workers=2)
        runs = [asyncio.to_thread(throughput, loader, step) for step in steps]  # <- DLC301
        await asyncio.gather(*runs)
    """,
    """
    from concurrent.futures import ThreadPoolExecutor
    from functools import partial
    from torch.utils.data import DataLoader

    def embed(loader, encoder):
        return [encoder(x) for x in loader]

    def main(dataset, encoders):
        loader = DataLoader(dataset, batch_size=4, num_workers=2)
        with ThreadPoolExecutor() as pool:
            return list(pool.map(partial(embed, loader), encoders))  # <- DLC301
    """,
    """
    from threading import Thread
    from torch.utils.data import DataLoader

    class Training:
        def __init__(self, model, dataset):
            self.model = model
            self.loader = DataLoader(dataset, batch_size=4, num_workers=2, persistent_workers=True)

        def profile(self):
            for batch in self.loader:
                self.model.count(batch)

        def epoch(self):
            for batch in self.loader:
                self.model(batch).backward()

        def run(self, epochs):
            for _ in range(epochs):
                beside = Thread(target=self.profile)  # <- DLC301
                beside.start()
                self.epoch()
                beside.join()
    """,
)
CLEAN = (
    """
    import threading
    from queue import Queue
    from torch.utils.data import DataLoader

    class Ahead(threading.Thread):
        def __init__(self, batches):
            super().__init__(daemon=True)
            self.batches, self.queue = batches, Queue(2)
            self.start()

        def run(self):
            for batch in self.batches:
                self.queue.put(batch)
            self.queue.put(None)

        def __iter__(self):
            return iter(self.queue.get, None)

    def main(dataset, model):
        loader = DataLoader(dataset, num_workers=2)
        for epoch in range(10):
            for batch in Ahead(loader):
                model(batch)

    def by_hand(dataset, model):
        loader = DataLoader(dataset, num_workers=2)
        for epoch in range(10):
            queue = Queue(2)
            threading.Thread(target=fill, args=(loader, queue), daemon=True).start()
            while (batch := queue.get()) is not None:
                model(batch)

    def fill(loader, queue):
        for batch in loader:
            queue.put(batch)
        queue.put(None)
    """,
    """
    import threading
    from torch.utils.data import DataLoader

    class Guarded:
        def __init__(self, loader):
            self.batches = iter(loader)
            self.lock = threading.Lock()

        def __iter__(self):
            return self

        def __next__(self):
            with self.lock:
                return next(self.batches)

    def work(batches):
        for batch in batches:
            print(batch.sum())

    def main(dataset):
        batches = Guarded(DataLoader(dataset, num_workers=2))
        for _ in range(4):
            threading.Thread(target=work, args=(batches,)).start()
    """,
    """
    import threading
    from torch.utils.data import DataLoader

    def consume(dataset, share):
        for batch in DataLoader(dataset[share], num_workers=1):
            print(batch)

    class Client(threading.Thread):
        def __init__(self, dataset):
            super().__init__()
            self.loader = DataLoader(dataset, num_workers=1)

        def run(self):
            for batch in self.loader:
                print(batch)

    def main(dataset):
        for share in range(4):
            threading.Thread(target=consume, args=(dataset, share)).start()
        for client in [Client(dataset[share]) for share in range(4)]:
            client.start()
    """,
    """
    from concurrent.futures import ThreadPoolExecutor
    from threading import Thread
    from torch.utils.data import DataLoader

    def train(loader):
        for batch in loader:
            batch.sum().backward()

    def main(dataset):
        loader = DataLoader(dataset, num_workers=2)
        for epoch in range(10):
            t = Thread(target=train, args=(loader,))
            t.start()
            t.join()

    def after(dataset):
        loader = DataLoader(dataset, num_workers=2)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(train, loader)
        for batch in loader:
            print(batch)
    """,
)
