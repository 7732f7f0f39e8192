"""Code that runs in workers uses a CUDA device.

A forked worker cannot use CUDA once the main process has (`RuntimeError: Cannot re-initialize CUDA in forked subprocess`). A
spawned one can, but takes some hundred megabytes of GPU memory for a context of its own, and its tensors reach the loop only
through handles that it must keep alive. Source: PyTorch documentation, *Multi-process data loading* of `torch.utils.data`
("it is generally not recommended to return CUDA tensors") and *Multiprocessing best practices*.

**Found:** `.cuda()`, `.to(device)` or a tensor made with `device=` on a CUDA device in the item path, a collate function or a
`worker_init_fn`, for loaders that may have workers.

**Left alone:** loaders without workers; devices that are not known; what stands behind a check of `get_worker_info()`;
wrappers that move batches in the main process.

**Cure:** return CPU tensors, pin them (`pin_memory=True`), and move the batch in the loop. **Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.facts.model import Attr, Expr, Name, dotted, walk
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.in_workers import worker_calls
from dlcheck.program.paths import PathCall
from dlcheck.program.program import Program
from dlcheck.program.scope import Scope
from dlcheck.program.transfers import device_of
from dlcheck.program.values import UNKNOWN, Known


def check(program: Program) -> Iterator[Report]:
    for call, way in worker_calls(program):
        what = _on_cuda(program, call)
        if not what:
            continue
        yield Report(
            call.step.scope,
            call.call.at,
            f"{what} runs in the workers: after a fork CUDA ends in `RuntimeError`, and where workers are spawned each takes "
            "GPU memory of its own. Return CPU tensors, and move the batch in the loop",
            help="load with `pin_memory=True`, and move with `.to(device, non_blocking=True)` in the training loop",
            confidence="low" if not way.loaders else None if _some(way.loaders) else "medium",
            also=tuple((loader.scope, loader.at) for loader in way.loaders[:1]),
        )


def _some(loaders: tuple[object, ...]) -> bool:
    return any(getattr(loader, "workers", "") == "some" for loader in loaders)


def _on_cuda(program: Program, call: PathCall) -> str:
    """What puts something on a CUDA device, as it is written; empty where nothing does."""
    func, scope = call.call.func, call.step.scope
    if isinstance(func, Attr) and func.attr == "cuda" and dotted(func.base) != "torch":
        return "`.cuda()`"
    if isinstance(func, Attr) and func.attr == "to":
        given: list[Expr] = [*call.call.args[:1], *(v for k, v in call.call.keywords if k == "device")]
        if any(_is_cuda(program, expr, scope) for expr in given):
            return "`.to(device)`"
    if any(name.startswith("torch.") for name in call.names):
        for key, value in call.call.keywords:
            if key in ("device", "map_location") and _is_cuda(program, value, scope):
                return f"`{dotted(func) or 'this call'}({key}=...)`"
    return ""


def _is_cuda(program: Program, device: Expr, scope: Scope) -> bool:
    """A parameter may hold another device in a worker than it holds elsewhere, so it does not count. One that is kept on
    `self` does where all that is given for it is a CUDA device.
    """
    if _given(device, scope, 0) or device_of(program.evaluator, device, scope) != "cuda":
        return False
    values = program.values(device, scope)
    others = any(isinstance(v, Known) and v.value in (None, "cpu", "mps") for v in values)
    return not (others or UNKNOWN in values) or not _kept_parameter(program, device, scope)


def _kept_parameter(program: Program, expr: Expr, scope: Scope) -> bool:
    """``self.device``, where ``__init__`` stores what it was given."""
    if not isinstance(expr, Attr) or not _of_self(expr, scope) or scope.owner is None:
        return False
    init = program.evaluator.method(scope.owner, "__init__")
    return init is not None and any(
        store.attr == expr.attr
        and isinstance(store.value, Name)
        and any(binding.kind == "param" for binding in init.bindings.get(store.value.id, ()))
        for store in init.stores
    )


def _given(expr: Expr, scope: Scope, depth: int) -> bool:
    """The expression comes from a parameter, or from a tensor that is at hand (``x.device``)."""
    for part in walk(expr):
        if isinstance(part, Attr) and part.attr == "device" and not _of_self(part, scope):
            return True
        if not isinstance(part, Name):
            continue
        for binding in scope.bindings.get(part.id, ()):
            if binding.kind == "param" and part.id != scope.self_name:
                return True
            if binding.value is not None and depth < 4 and _given(binding.value, scope, depth + 1):
                return True
    return False


def _of_self(part: Attr, scope: Scope) -> bool:
    return isinstance(part.base, Name) and scope.self_name is not None and part.base.id == scope.self_name


RULE = Rule(
    code="DLC303",
    name="cuda-in-worker",
    severity="error",
    check=check,
    page=__doc__ or "",
    found=(
        """
        import torch
        from torch.utils.data import Dataset, DataLoader
        class T(Dataset):
            def __init__(self, paths, device="cuda"):
                self.paths, self.device = paths, device
            def __len__(self): return len(self.paths)
            def __getitem__(self, i):
                return torch.load(self.paths[i], map_location=self.device)  # <- DLC303
        def main(paths): return DataLoader(T(paths), num_workers=4)
        """,
        """
        import torch
        from torch.utils.data import DataLoader, Dataset

        class Images(Dataset):
            def __init__(self, images):
                self.images = images
                self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            def __getitem__(self, index):
                return torch.as_tensor(self.images[index]).to(self.device)  # <- DLC303

        loader = DataLoader(Images([]), batch_size=8, num_workers=4)
        """,
        """
        # file: collate.py
        import torch

        def collate(items):
            return torch.stack(items).cuda()  # <- DLC303
        # file: train.py
        from torch.utils.data import DataLoader
        from collate import collate

        def main(dataset, workers):
            return DataLoader(dataset, num_workers=workers, collate_fn=collate)
        """,
        """
        import torch
        from torch.utils.data import DataLoader, Dataset

        class Noise(Dataset):
            def __init__(self, items):
                self.items = items
            def augment(self, x):
                return x + torch.randn(x.shape, device="cuda")  # <- DLC303
            def __getitem__(self, index):
                return self.augment(self.items[index])

        def main(items):
            return DataLoader(Noise(items), num_workers=2)
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        encoder = torch.jit.load("encoder.pt")

        def init(worker_id):
            encoder.to("cuda:0")  # <- DLC303

        def main(dataset):
            return DataLoader(dataset, num_workers=2, worker_init_fn=init)
        """,
    ),
    clean=(
        """
        import torch
        from torch.utils.data import DataLoader, Dataset

        class Images(Dataset):
            def __getitem__(self, index):
                return torch.zeros(3).cuda()

        loader = DataLoader(Images(), batch_size=8, num_workers=0)
        """,
        """
        import torch
        from torch.utils.data import DataLoader, Dataset

        class Features(Dataset):
            def __getitem__(self, index):
                return torch.load(f"{index}.pt", map_location="cpu")

        def main(device=torch.device("cuda")):
            for batch in DataLoader(Features(), num_workers=2):
                yield batch.to(device)
        """,
        """
        import torch
        from torch.utils.data import DataLoader, Dataset

        class Prefetch:
            def __init__(self, loader):
                self.loader = loader
            def __iter__(self):
                for batch in self.loader:
                    yield batch.cuda(non_blocking=True)

        def main(dataset):
            return Prefetch(DataLoader(dataset, num_workers=4, pin_memory=True))
        """,
        """
        import torch
        from torch.utils.data import DataLoader, Dataset, get_worker_info

        class Images(Dataset):
            def __init__(self, images, device):
                self.images = images
                self.device = device
            def __getitem__(self, index):
                x = self.images[index].to(torch.float32)
                if get_worker_info() is None:
                    x = x.cuda()
                return x.to(self.device)

        loader = DataLoader(Images([], "cpu"), num_workers=4)
        """,
        """
        import torch
        from torch.utils.data import DataLoader, Dataset

        class Single(Dataset):
            def __getitem__(self, index):
                return torch.zeros(index).cuda()

        class Many(Dataset):
            def __getitem__(self, index):
                return torch.zeros(index)

        def loader(dataset, num_workers=4):
            options = {"dataset": dataset, "num_workers": num_workers}
            return DataLoader(batch_size=2, **options)

        def main():
            return loader(Many()), loader(Single(), num_workers=0)
        """,
        """
        import torch
        from torch.utils.data import DataLoader, default_collate

        class Collate:
            def __init__(self, device=None):
                self.device = device
            def __call__(self, items):
                batch = default_collate(items)
                return batch if self.device is None else batch.to(self.device)

        def main(dataset):
            inline = DataLoader(dataset, collate_fn=Collate(device="cuda"))
            return inline, DataLoader(dataset, num_workers=4, collate_fn=Collate())
        """,
    ),
)
