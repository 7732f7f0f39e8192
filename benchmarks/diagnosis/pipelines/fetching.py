"""The dataset is slow, or there are too few or too many workers for it, or none."""

from __future__ import annotations

from benchmarks.diagnosis.program import BURN, SLEEP, Pipeline

_SPREAD = """
class Data(Items):
    def __getitem__(self, index):
        self.read(index)
        self.decode(index)
        self.crop(index)
        self.flip(index)
        return super().__getitem__(index)

    def read(self, index):
        time.sleep(0.002)

    def decode(self, index):
        time.sleep(0.002)

    def crop(self, index):
        time.sleep(0.002)

    def flip(self, index):
        time.sleep(0.002)
"""

_JPEG = """
from PIL import Image


class Data(Items):
    def __init__(self):
        self.folder = tempfile.mkdtemp()
        for number in range(24):
            noise = np.random.default_rng(number).integers(0, 255, ({height} // 8, {width} // 8, 3), dtype=np.uint8)
            image = Image.fromarray(noise).resize(({width}, {height}))
            image.save(f"{{self.folder}}/{{number}}.jpg", quality=90)

    def __getitem__(self, index):
        return self.load(f"{{self.folder}}/{{index % 24}}.jpg")

    def load(self, path):
        with Image.open(path) as image:
            {draft}
            image = image.convert("RGB").resize((96, 96))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)
"""

_HDF5 = """
import h5py


class Data(Items):
    def __init__(self):
        self.path = tempfile.mkdtemp() + "/data.h5"
        rows = np.random.default_rng(0).integers(0, 40, (2048, 512), dtype=np.int32)
        with h5py.File(self.path, "w") as file:
            file.create_dataset("rows", data=rows, chunks=({chunk}, 512), compression="gzip")
        self.file = None

    def __getitem__(self, index):
        if self.file is None:
            self.file = h5py.File(self.path, "r", rdcc_nbytes=0)
        return self.read(index * 37 % 2048)

    def read(self, row):
        return torch.from_numpy(self.file["rows"][row])
"""

_LOCKED = """
import multiprocessing

LOCK = multiprocessing.Lock()

class Data(Items):
    def __getitem__(self, index):
        self.read(index)
        return super().__getitem__(index)

    def read(self, index):
        with LOCK:
            time.sleep(0.003)
"""

_PINNED = """
def settle(worker):
    {pin}

class Data(Items):
    def __getitem__(self, index):
        self.decode(index)
        return super().__getitem__(index)

    def decode(self, index):
        burn(0.003)
"""

_THREADS = """
def settle(worker):
    torch.set_num_threads({threads})

class Data(Items):
    def __init__(self):
        self.image = torch.rand(3, 512, 512)

    def __getitem__(self, index):
        return self.blur(self.image)

    def blur(self, image):
        for _ in range(40):
            image = image * 0.9 + 0.1
        return image[:, ::32, ::32]
"""

_HTTP = """
import http.server, multiprocessing, urllib.request


class Store(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.006)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(bytes(4096))

    def log_message(self, *arguments):
        pass


def serve(port):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
    port.value = server.server_port
    server.serve_forever()


class Data(Items):
    def __init__(self):
        port = multiprocessing.Value("i", 0)
        multiprocessing.Process(target=serve, args=(port,), daemon=True).start()
        while not port.value:
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{port.value}/"

    def __getitem__(self, index):
        return torch.frombuffer(bytearray(self.download(index)), dtype=torch.uint8)

    def download(self, index):
        with urllib.request.urlopen(f"{self.url}{index}") as answer:
            return answer.read()
"""

_CPU = ("fetch-cpu", "too-few-workers")
_IO = ("fetch-io", "too-few-workers")

PIPELINES = (
    Pipeline(
        "sleep-in-fetch", ("fetch-io",), SLEEP.format(seconds=0.005), "read", 100,
        {"num_workers": 2}, cure={"num_workers": 4}, also=("too-few-workers",),
    ),
    Pipeline(
        "cpu-in-fetch", ("fetch-cpu",), BURN.format(seconds=0.004), "decode", 60,
        {"num_workers": 1}, cure={"num_workers": 2},
    ),
    Pipeline(
        "spread-over-lines", ("too-few-workers",), _SPREAD, "", 50, {"num_workers": 1}, cure={"num_workers": 4},
    ),
    Pipeline(
        "spawned", ("fetch-io",), SLEEP.format(seconds=0.006), "read", 120,
        {"num_workers": 2, "multiprocessing_context": "spawn"}, cure={"num_workers": 4},
    ),
    Pipeline(
        "jpeg-one-worker", _CPU, _JPEG.format(width=640, height=480, draft="pass"), "load", 60,
        {"num_workers": 1}, cure={"num_workers": 2},
    ),
    Pipeline(
        "jpeg-large", ("fetch-cpu",), _JPEG.format(width=1600, height=1200, draft="pass"), "load", 30,
        {"num_workers": 2},
        cured_definitions=_JPEG.format(width=1600, height=1200, draft='image.draft("RGB", (200, 150))'),
        never=("in_order",),
    ),
    Pipeline(
        "hdf5-large-chunks", ("fetch-cpu",), _HDF5.format(chunk=512), "read", 40, {"num_workers": 2},
        cured_definitions=_HDF5.format(chunk=1),
    ),
    Pipeline(
        "hdf5-opened-per-item", _CPU, """
        import h5py

        class Data(Items):
            def __init__(self):
                self.path = tempfile.mkdtemp() + "/data.h5"
                with h5py.File(self.path, "w") as file:
                    for number in range(400):
                        file.create_dataset(f"sample{number}", data=np.zeros(64, dtype=np.float32))

            def __getitem__(self, index):
                return self.read(index)

            def read(self, index):
                values = []
                for part in range(12):
                    with h5py.File(self.path, "r") as file:
                        values.append(torch.from_numpy(file[f"sample{(index + part) % 400}"][:]))
                return torch.cat(values)
        """, "read", 60, {"num_workers": 1}, cure={"num_workers": 2},
    ),
    Pipeline(
        "npy-per-item", _CPU, """
        class Data(Items):
            def __init__(self):
                self.path = tempfile.mkdtemp() + "/volume.npy"
                np.save(self.path, np.zeros((2_000_000,), dtype=np.float32))

            def __getitem__(self, index):
                return self.read(index)

            def read(self, index):
                return torch.from_numpy(np.load(self.path)[index : index + 256].copy())
        """, "read", 200, {"num_workers": 1}, step_s=0.002,
    ),
    Pipeline(
        # Read from the disk itself: the page cache is told to forget.
        "cold-files", _IO, """
        class Data(Items):
            def __init__(self):
                self.path = tempfile.mkdtemp() + "/records.bin"
                with open(self.path, "wb") as file:
                    file.write(os.urandom(64 << 20))
                    os.fsync(file.fileno())

            def __getitem__(self, index):
                content = self.read(index * 7919 % 62)
                return torch.frombuffer(bytearray(content[:64]), dtype=torch.uint8)

            def read(self, megabyte):
                descriptor = os.open(self.path, os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                content = os.pread(descriptor, 2 << 20, megabyte << 20)
                os.close(descriptor)
                return content
        """, "read", 60, {"num_workers": 1}, step_s=0.005,
    ),
    Pipeline(
        "remote-store", _IO, _HTTP, "download", 60, {"num_workers": 1}, cure={"num_workers": 3},
        also=("too-few-workers", "fetch-io"),
    ),
    Pipeline(
        # Whoever has the lock sleeps: more workers only wait for it.
        "one-lock-for-all", ("fetch-io",), _LOCKED, "read", 80, {"num_workers": 3}, never=("num_workers",),
    ),
    Pipeline(
        "inflating-named-reading", ("fetch-cpu",), """
        class Data(Items):
            def __init__(self):
                rows = np.random.default_rng(0).integers(0, 16, 600_000, dtype=np.uint8)
                self.packed = zlib.compress(rows.tobytes())

            def __getitem__(self, index):
                content = self.read_from_disk(index)
                return torch.frombuffer(bytearray(content[:64]), dtype=torch.uint8)

            def read_from_disk(self, index):
                return zlib.decompress(self.packed)
        """, "read_from_disk", 60, {"num_workers": 2}, step_s=0.005,
    ),
    Pipeline(
        "spinning-named-waiting", ("fetch-cpu",), """
        class Data(Items):
            def __getitem__(self, index):
                self.wait_for_lock(index)
                return super().__getitem__(index)

            def wait_for_lock(self, index):
                end = time.thread_time() + 0.004
                while time.thread_time() < end:
                    pass
        """, "wait_for_lock", 60, {"num_workers": 2}, step_s=0.005,
    ),
    Pipeline(
        "sleeping-named-decoding", _IO, """
        class Data(Items):
            def __getitem__(self, index):
                self.decode_on_cpu(index)
                return super().__getitem__(index)

            def decode_on_cpu(self, index):
                threading.Event().wait(0.006)
        """, "decode_on_cpu", 60, {"num_workers": 2}, cure={"num_workers": 4},
    ),
    Pipeline(
        # As ffmpeg and the like: the worker sleeps, its child has the core.
        "decoding-in-children", ("fetch-cpu", "fetch-io"), """
        class Data(Items):
            def __init__(self):
                self.noise = np.random.default_rng(0).integers(0, 32, 300_000, dtype=np.uint8).tobytes()

            def __getitem__(self, index):
                self.convert(index)
                return super().__getitem__(index)

            def convert(self, index):
                subprocess.run(["gzip", "-9", "-c"], input=self.noise, capture_output=True, check=True)
        """, "convert", 40, {"num_workers": 2}, step_s=0.005, never=("num_workers",),
    ),
    Pipeline(
        "too-many-workers", ("oversubscribed",), BURN.format(seconds=0.004), "decode", 80,
        {"num_workers": 8}, cure={"num_workers": 2}, step_s=0.002,
    ),
    Pipeline(
        "all-on-one-core", ("oversubscribed", "fetch-cpu"),
        _PINNED.format(pin="os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"), "burn", 80,
        {"num_workers": 2}, ", worker_init_fn=settle", cured_definitions=_PINNED.format(pin="pass"), step_s=0.005,
    ),
    Pipeline(
        "threads-in-workers", ("oversubscribed",), _THREADS.format(threads=8), "blur", 60, {"num_workers": 2},
        ", worker_init_fn=settle", cured_definitions=_THREADS.format(threads=1), step_s=0.005,
    ),
    Pipeline(
        "inline", ("main-process",), SLEEP.format(seconds=0.004), "read", 50,
        {"num_workers": 0}, cure={"num_workers": 2}, step_s=0.03,
    ),
    Pipeline(
        "inline-jpeg", ("main-process",), _JPEG.format(width=640, height=480, draft="pass"), "load", 40,
        {"num_workers": 0}, cure={"num_workers": 1}, step_s=0.03,
    ),
    Pipeline(
        "inline-collate", ("main-process",), """
        class Data(Items):
            def __getitem__(self, index):
                return list(range(index % 50, 4000))

        def pad(items):
            longest = max(map(len, items))
            return torch.tensor([item + [0] * (longest - len(item)) for item in items])
        """, "pad", 80, {"num_workers": 0}, ", collate_fn=pad", {"num_workers": 1}, batch_size=32, step_s=0.02,
    ),
    Pipeline(
        # Seven quick steps, and a long one: the four batches that are ready do not last.
        "bursts", _IO, """
        class Data(Items):
            def __getitem__(self, index):
                time.sleep(0.0025)
                return super().__getitem__(index)

        def run(loader):
            for number, batch in enumerate(loader):
                time.sleep(0.16 if number % 8 == 7 else 0.001)
        """, "__getitem__", 160, {"num_workers": 2}, cure={"prefetch_factor": 8}, loop="run(loader)",
    ),
)  # fmt: skip
