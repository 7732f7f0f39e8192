"""Code that runs in workers uses a thread for every core of the machine, and nothing limits it.

OpenCV splits a call among as many threads as there are cores, and does so in every worker: 8 workers on 8 cores have 64
threads for 8 cores. The workers keep the cores busy by themselves, so that the threads only add the work of sharing it
out. torch gives each worker one thread, for its own operations only. Source: `torch/utils/data/_utils/worker.py`
(`torch.set_num_threads(1)`); OpenCV documentation, *setNumThreads*; albumentations issue 1825.

**Found:** OpenCV processing calls, `numexpr`, or a pool with as many threads as cores that is made for each item, in code that
runs in the workers of a loader, where the project never limits threads; `torch.set_num_threads(n)` with `n > 1` in a worker.

**Left alone:** `cv2.imread`, `cv2.imdecode` and other input and output; pools with a number of threads; projects that call
`cv2.setNumThreads`, or set `OMP_NUM_THREADS` or `OPENCV_FOR_THREADS_NUM`; loaders that are not known to have workers.

**Cure:** `cv2.setNumThreads(0)` where the dataset is defined, or in `worker_init_fn`. It is a hint: how much it gives depends
on the cores and on how large the images are, and `dlcheck run` measures it. **Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.facts.model import Const
from dlcheck.lint.rule import Report, Rule
from dlcheck.program import names
from dlcheck.program.in_workers import worker_calls
from dlcheck.program.items import argument, made_by, short
from dlcheck.program.paths import PathCall
from dlcheck.program.program import Program
from dlcheck.program.values import Known

# Calls that OpenCV runs on several threads.
_PARALLEL = frozenset(
    f"cv2.{name}"
    for name in (
        "resize", "warpAffine", "warpPerspective", "remap", "cvtColor", "GaussianBlur", "blur", "medianBlur", "boxFilter",
        "bilateralFilter", "filter2D", "sepFilter2D", "dilate", "erode", "morphologyEx", "equalizeHist", "LUT",
        "fastNlMeansDenoising", "fastNlMeansDenoisingColored", "undistort", "matchTemplate", "calcOpticalFlowFarneback",
        "distanceTransform", "Canny", "Sobel", "Laplacian", "dct", "dft",
    )
)  # fmt: skip
_POOLS = frozenset({"multiprocessing.pool.ThreadPool", "concurrent.futures.ThreadPoolExecutor"})
_LIMITS = ("setNumThreads", "set_num_threads", "threadpool_limits")
_VARIABLES = ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM", "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS")


def check(program: Program) -> Iterator[Report]:
    limited = _limits_threads(program)
    reported: set[tuple[str, str]] = set()
    for call, way in worker_calls(program):
        if not any(loader.workers == "some" for loader in way.loaders):
            continue
        name, library = _threaded(program, call)
        if not name or (limited and library != "torch"):
            continue
        key = (call.step.scope.module.path, library)
        if key in reported:
            continue  # one limit cures all calls of a library
        reported.add(key)
        yield Report(
            call.step.scope,
            call.call.at,
            f"`{short(name)}` {_FAULTS[library]}, so that there are many more threads than cores: {_CURES[library]}",
            help=_CURES[library],
            also=((way.loaders[0].scope, way.loaders[0].at),),
        )


def _threaded(program: Program, call: PathCall) -> tuple[str, str]:
    """(the full name, its library) of a call that runs on several threads; empty where it does not."""
    for name in call.names:
        if name in _PARALLEL:
            return name, "cv2"
        if name.startswith("numexpr.evaluate"):
            return name, "numexpr"
        if name in _POOLS and not call.lazy and _one_per_core(program, call):
            return name, "threads"
        if name == "torch.set_num_threads" and call.call.args:
            counts = program.values(call.call.args[0], call.step.scope)
            if counts and all(
                isinstance(v, Known) and isinstance(v.value, int) and v.value > 1 for v in counts
            ):
                return name, "torch"
    return "", ""


def _one_per_core(program: Program, call: PathCall) -> bool:
    """A pool of threads that is given no number, or that of the cores."""
    size = argument(call.call, 0, "processes", "max_workers")
    if size is None:
        return True
    made = made_by(program.values(size, call.step.scope))
    return any(name in names.CPU_COUNTS for name in made)


_FAULTS = {
    "cv2": "runs on a thread for every core, in each worker",
    "numexpr": "runs on a thread for every core, in each worker",
    "threads": "makes a thread for every core, for each item and in each worker",
    "torch": "gives each worker more than the one thread that torch gives it",
}
_CURES = {
    "cv2": "call `cv2.setNumThreads(0)` in `worker_init_fn`, or where the dataset is defined",
    "numexpr": "call `numexpr.set_num_threads(1)` in `worker_init_fn`, or where the dataset is defined",
    "threads": "make the pool once per worker, with few threads",
    "torch": "leave it at that, and use more workers",
}


def _limits_threads(program: Program) -> bool:
    if any(program.evaluator.callers.named(name) for name in _LIMITS):
        return True
    return any(
        isinstance(part, Const) and part.value in _VARIABLES
        for module in program.modules
        for scope in module.scopes
        for part in (
            *(store.index for store in scope.stores if store.index is not None),
            *(arg for site in scope.calls for arg in site.call.args),
        )
    )


RULE = Rule(
    code="DLC306",
    name="threads-in-workers",
    severity="info",
    check=check,
    page=__doc__ or "",
    found=(
        """
        # file: sets/registry.py
        from fvcore.common.registry import Registry

        DATASETS = Registry("DATASETS")

        def build(name, settings):
            return DATASETS.get(name)(settings)
        # file: sets/photos.py
        import cv2
        from torch.utils.data import Dataset
        from sets.registry import DATASETS

        @DATASETS.register()
        class Photos(Dataset):
            def __getitem__(self, index):
                return cv2.resize(cv2.imread(self.paths[index]), (224, 224))  # <- DLC306
        # file: train.py
        from torch.utils.data import DataLoader
        from sets.registry import build

        def main(settings):
            return DataLoader(build(settings.dataset, settings), num_workers=8)
        """,
        """
        import cv2
        from torch.utils.data import DataLoader, Dataset

        class Images(Dataset):
            def __init__(self, files):
                self.files = files
            def __getitem__(self, index):
                image = cv2.imread(self.files[index])
                return cv2.resize(image, (224, 224))  # <- DLC306

        loader = DataLoader(Images([]), batch_size=8, num_workers=4)
        """,
        """
        # file: augment.py
        import cv2

        class Blur:
            def __call__(self, image):
                return cv2.GaussianBlur(image, (5, 5), 0)  # <- DLC306
        # file: data.py
        from torch.utils.data import DataLoader, Dataset
        from augment import Blur

        class Images(Dataset):
            def __init__(self, images):
                self.images = images
                self.transform = Blur()
            def __getitem__(self, index):
                return self.transform(self.images[index])

        def loader(images, workers=8):
            return DataLoader(Images(images), num_workers=workers)
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def init(worker_id):
            torch.set_num_threads(4)  # <- DLC306

        loader = DataLoader([1, 2], num_workers=2, worker_init_fn=init)
        """,
        """
        from multiprocessing.pool import ThreadPool
        from torch.utils.data import DataLoader, Dataset

        class Clips(Dataset):
            def __getitem__(self, index):
                with ThreadPool() as pool:  # <- DLC306
                    return pool.map(str, range(index))

        loader = DataLoader(Clips(), num_workers=2)
        """,
    ),
    clean=(
        """
        import cv2
        from torch.utils.data import DataLoader, Dataset

        cv2.setNumThreads(0)

        class Images(Dataset):
            def __getitem__(self, index):
                return cv2.resize(cv2.imread(str(index)), (224, 224))

        loader = DataLoader(Images(), batch_size=8, num_workers=4)
        """,
        """
        import cv2
        from torch.utils.data import DataLoader, Dataset

        class Images(Dataset):
            def __getitem__(self, index):
                return cv2.imread(str(index))[:, :, ::-1]

        loader = DataLoader(Images(), batch_size=8, num_workers=4)
        """,
        """
        import cv2
        from torch.utils.data import DataLoader, Dataset

        class Images(Dataset):
            def __getitem__(self, index):
                return cv2.resize(cv2.imread(str(index)), (224, 224))

        loader = DataLoader(Images(), batch_size=8)
        """,
        """
        import os
        import cv2
        from torch.utils.data import DataLoader, Dataset

        os.environ["OMP_NUM_THREADS"] = "1"

        class Images(Dataset):
            def __getitem__(self, index):
                return cv2.cvtColor(cv2.imread(str(index)), cv2.COLOR_BGR2RGB)

        loader = DataLoader(Images(), batch_size=8, num_workers=4)
        """,
        """
        from concurrent.futures import ThreadPoolExecutor
        from torch.utils.data import DataLoader, Dataset

        class Clips(Dataset):
            def __getitem__(self, index):
                with ThreadPoolExecutor(max_workers=4) as pool:
                    return list(pool.map(open, [str(index)]))

        loader = DataLoader(Clips(), num_workers=2)
        """,
    ),
)
