"""The training loop takes the batch back to numpy, augments it there, and makes tensors again.

That work runs in the main process, between the steps, on one core, while the model waits; the workers exist to do it beside
the steps, for many samples at once. The way to numpy and back also undoes pinning, and waits for the GPU where the batch is
there already. Source: PyTorch *Performance Tuning Guide* (asynchronous data loading and augmentation).

**Found:** in a training loop (or a function that it hands the batch to), data of the batch that becomes an array or an image,
goes through a function that augments, and becomes a tensor again.

**Left alone:** metrics and pictures, which are not made into tensors again; evaluation; augmentation of tensors, on the GPU or
not. Where nothing says that it is augmentation, or the loader has no workers, the confidence is low.

**Cure:** augment in `__getitem__` or in `collate_fn`, so that the workers do it; or augment tensors on the GPU.
**Versions:** all.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from dlcheck.facts.model import At, Attr, Call, Expr, Name, Seq, Sub, dotted, walk
from dlcheck.lint.finding import Confidence
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.arguments import Arguments
from dlcheck.program.callees import callee_names
from dlcheck.program.program import Program
from dlcheck.program.scope import Block, Scope
from dlcheck.program.uses import Use
from dlcheck.program.values import Ref

_TO_ARRAY = frozenset(
    {
        "numpy.array",
        "numpy.asarray",
        "numpy.ascontiguousarray",
        "torchvision.transforms.functional.to_pil_image",
    }
)
_TO_TENSOR = frozenset(
    {"torch.from_numpy", "torch.tensor", "torch.as_tensor", "torchvision.transforms.functional.to_tensor"}
) | {f"torch.{kind}" for kind in ("Tensor", "FloatTensor", "HalfTensor", "DoubleTensor", "ByteTensor")}
_AUGMENTS = re.compile(
    r"aug|transform|rotate|rot90|flip|crop|nois|warp|blur|resize|jitter|affine|erase|cutout|mixup|cutmix|elastic|perturb|"
    r"perspective|colou?r|contrast|brightness|hue|gamma|normal\b|equalize|zoom|shift|spectrogram|mfcc",
    re.IGNORECASE,
)
_NO_TENSOR = frozenset({"numpy", "item", "tolist", "size", "dim", "backward", "keys", "numel"})

# Functions that a batch is handed on through.
_DEEPEST = 2


def check(program: Program) -> Iterator[Report]:
    seen: set[tuple[str, At]] = set()
    for use in program.consumption.uses:
        if use.kind not in ("for", "next") or use.target is None or program.use_role(use) != "train":
            continue
        flow = _Flow(program, use.scope, use.inner, _bound(use))
        trips = [*_round_trips(flow), *_in_helpers(flow)]
        for scope, origin, back, augments in trips:
            if (scope.module.path, back) in seen:
                continue
            seen.add((scope.module.path, back))
            yield Report(
                scope,
                back,
                "the batch becomes numpy arrays, is worked on, and becomes tensors again in the main process, while the model "
                "waits: do this in the dataset or in `collate_fn`, where the workers do it beside the steps",
                help="move this work to `__getitem__` or `collate_fn`, or do it with tensors on the GPU",
                confidence=_confidence(use, augments),
                also=((scope, origin), (use.scope, use.at)),
            )


def _confidence(use: Use, augments: bool) -> Confidence:
    if not augments or all(loader.workers == "none" for loader in use.loaders):
        return "low"
    return "high" if any(loader.workers == "some" for loader in use.loaders) else "medium"


def _bound(use: Use) -> set[str]:
    target = use.target
    if use.skips_first and isinstance(target, Seq) and target.items:
        return {part.id for item in target.items[1:] for part in walk(item) if isinstance(part, Name)}
    return {part.id for part in walk(target) if isinstance(part, Name)} if target is not None else set()


@dataclass(eq=False)
class _Flow:
    """Where the data of a batch goes in one function: ``batch`` holds the names of tensors, ``arrays`` those of arrays."""

    program: Program
    scope: Scope
    inner: Block | None
    batch: set[str]
    arrays: set[str] = field(default_factory=set)
    origins: list[Expr] = field(default_factory=list)

    def __post_init__(self) -> None:
        for _ in range(5):
            size = len(self.batch) + len(self.arrays)
            for name, bindings in self.scope.bindings.items():
                for binding in bindings:
                    if binding.value is None or not self.inside(binding.block) or binding.kind == "param":
                        continue
                    if self.is_batch(binding.value) or self._parts_of_batch(binding.value):
                        self.batch.add(name)
                    elif self.holds_array(binding.value):
                        self.arrays.add(name)
            for site in self.scope.calls:
                func = site.call.func
                if isinstance(func, Attr) and func.attr == "append" and isinstance(func.base, Name):
                    if self.inside(site.block) and any(self.holds_array(a) for a in site.call.args):
                        self.arrays.add(func.base.id)
            if len(self.batch) + len(self.arrays) == size:
                return

    def inside(self, block: Block | None) -> bool:
        return self.inner is None or (block is not None and self.inner in block.chain())

    def is_batch(self, expr: Expr) -> bool:
        """A tensor of the batch, a part of one, or what a method of one gives."""
        match expr:
            case Name(name, _):
                return name in self.batch and name not in self.arrays
            case Attr(base, attr, _):
                return attr not in ("shape", "device", "dtype") and self.is_batch(base)
            case Sub(base, _, _):
                return self.is_batch(base)
            case Call(Attr(base, attr, _), _, _, _):
                return attr not in _NO_TENSOR and self.is_batch(base)
        return False

    def _parts_of_batch(self, expr: Expr) -> bool:
        """``zip(images, labels)``, ``enumerate(images)``: their elements are parts of the batch."""
        if isinstance(expr, Call) and dotted(expr.func) in ("zip", "enumerate", "list", "tuple", "Variable"):
            return any(self.is_batch(argument) for argument in expr.args)
        return False

    def becomes_array(self, expr: Expr) -> bool:
        match expr:
            case Call(Attr(base, "numpy", _), _, _, _):
                return self.is_batch(base)
            case Call(func, args, _, _) if args and self.is_batch(args[0]):
                names = callee_names(self.program.evaluator, expr, self.scope)
                pil = dotted(func).rpartition(".")[2] in ("to_pil_image", "to_pil", "ToPILImage")
                return pil or bool(_TO_ARRAY & set(names))
        return False

    def holds_array(self, expr: Expr) -> bool:
        """Something computed from an array that was made of the batch."""
        for part in walk(expr):
            if isinstance(part, Name) and part.id in self.arrays:
                return True
            if isinstance(part, Call) and self.becomes_array(part):
                if part not in self.origins:
                    self.origins.append(part)
                return True
        return False


def _round_trips(flow: _Flow) -> Iterator[tuple[Scope, At, At, bool]]:
    """The places where arrays of the batch become tensors: (function, where it became an array, place, augments)."""
    for site in flow.scope.calls:
        if not flow.inside(site.block) or not site.call.args:
            continue
        names = set(callee_names(flow.program.evaluator, site.call, flow.scope))
        if names & _TO_TENSOR and flow.holds_array(site.call.args[0]) and flow.origins:
            yield flow.scope, flow.origins[0].at, site.at, _augments(flow)


def _augments(flow: _Flow) -> bool:
    """Something that is called with the arrays says by its name that it augments."""
    for site in flow.scope.calls:
        if not flow.inside(site.block):
            continue
        arguments = (*site.call.args, *(value for _, value in site.call.keywords))
        if any(flow.holds_array(argument) for argument in arguments):
            texts = (dotted(site.call.func), *callee_names(flow.program.evaluator, site.call, flow.scope))
            if any(_AUGMENTS.search(text) for text in texts):
                return True
    noisy = (op for op, block in flow.scope.ops if flow.inside(block) and flow.holds_array(op))
    return any(
        isinstance(part, Call) and _AUGMENTS.search(dotted(part.func)) for op in noisy for part in walk(op)
    )


def _in_helpers(flow: _Flow, depth: int = 0) -> Iterator[tuple[Scope, At, At, bool]]:
    """The same in a function of the project that is handed the batch, or that such a function hands it on to."""
    for site in flow.scope.calls:
        if not flow.inside(site.block) or not any(flow.is_batch(argument) for argument in site.call.args):
            continue
        for value in flow.program.values(site.call.func, flow.scope):
            if not isinstance(value, Ref) or value.scope.kind != "function" or value.scope is flow.scope:
                continue
            function = value.scope
            arguments = Arguments(flow.program.evaluator, site.call, flow.scope)
            skip = 1 if function.self_name is not None else 0
            given = {
                param.name
                for position, param in enumerate(function.params[skip:])
                for expr, where in arguments.given(param.name, None if param.kind == "keyword" else position)
                if where is flow.scope and flow.is_batch(expr)
            }
            if given:
                named = bool(_AUGMENTS.search(function.name))
                inner = _Flow(flow.program, function, None, given)
                for scope, origin, back, augments in _round_trips(inner):
                    yield scope, origin, back, augments or named
                if depth < _DEEPEST:
                    yield from _in_helpers(inner, depth + 1)


RULE = Rule(
    code="DLC502",
    name="augmentation-in-main-process",
    severity="warning",
    check=check,
    page=__doc__ or "",
    found=(
        """
        import numpy as np
        import torch
        from torch.utils.data import DataLoader

        def train(dataset, model, augment):
            loader = DataLoader(dataset, batch_size=32, num_workers=4, shuffle=True)
            for images, labels in loader:
                arrays = images.numpy()
                arrays = np.stack([augment(a) for a in arrays])
                images = torch.from_numpy(arrays).cuda()  # <- DLC502
                model(images, labels).backward()
        """,
        """
        import cv2
        import torch
        from torch.utils.data import DataLoader

        def rotated(batch):
            out = []
            for image in batch.cpu().numpy():
                out.append(cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE))
            return torch.tensor(out)  # <- DLC502

        def train(dataset, model, optimizer):
            loader = DataLoader(dataset, batch_size=32, num_workers=4, shuffle=True)
            for step, batch in enumerate(loader):
                x = rotated(batch["image"])
                model(x).backward()
                optimizer.step()
        """,
        """
        import numpy as np
        import torch
        from torch.utils.data import DataLoader

        def train(dataset, model, device):
            loader = DataLoader(dataset, batch_size=32, num_workers=8)
            for x, y in loader:
                x = x.to(device)
                noisy = np.asarray(x.cpu()) + np.random.normal(0, 0.1, size=x.shape)
                x = torch.as_tensor(noisy, dtype=torch.float32)  # <- DLC502
                model(x, y).backward()
        """,
        """
        import torch
        from torch.utils.data import DataLoader
        from torchvision import transforms
        from torchvision.transforms.functional import to_pil_image, to_tensor

        def train(dataset, model):
            jitter = transforms.ColorJitter(0.4)
            loader = DataLoader(dataset, batch_size=32, num_workers=2)
            for images, labels in loader:
                views = []
                for image in images:
                    picture = jitter(to_pil_image(image))
                    views.append(to_tensor(picture))  # <- DLC502
                model(torch.stack(views), labels).backward()
        """,
        """
        import numpy as np
        import torch
        from skimage.transform import rotate
        from torch.utils.data import DataLoader

        class Training:
            def __init__(self, dataset, model):
                self.model = model
                self.loader = DataLoader(dataset, batch_size=8, shuffle=True, num_workers=4)

            def turned(self, images):
                turned = [rotate(image, np.random.uniform(-9, 9)) for image in images.numpy()]
                return torch.from_numpy(np.stack(turned))  # <- DLC502

            def step(self, images, labels):
                images = self.turned(images)
                self.model(images, labels).backward()

            def run(self):
                for images, labels in self.loader:
                    self.step(images, labels)
        """,
        """
        import librosa
        import numpy as np
        import torch
        from torch.utils.data import DataLoader

        def train(dataset, model, optimizer):
            for waves, labels in DataLoader(dataset, 8, shuffle=True, num_workers=4):
                mels = [librosa.feature.melspectrogram(y=wave) for wave in waves.numpy()]
                mels = torch.tensor(np.array(mels))  # <- DLC502
                model(mels, labels).backward()
                optimizer.step()
        """,
    ),
    clean=(
        """
        import numpy as np
        import torch
        from torch.utils.data import DataLoader

        def train(dataset, model, plot, augment):
            loader = DataLoader(dataset, batch_size=32, num_workers=4)
            for images, labels in loader:
                images = augment(images.cuda())
                out = model(images)
                out.backward()
                plot(images.cpu().numpy().transpose(0, 2, 3, 1))
                accuracy = (out.argmax(1).cpu().numpy() == labels.numpy()).mean()
                print(accuracy)
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def evaluate(dataset, model, flip):
            loader = DataLoader(dataset, batch_size=32, num_workers=4)
            with torch.no_grad():
                for images in loader:
                    print(model(torch.from_numpy(flip(images.numpy()))))
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def collate(samples):
            arrays = [sample.numpy()[::-1].copy() for sample in samples]
            return torch.stack([torch.from_numpy(a) for a in arrays])

        def train(dataset, model):
            for batch in DataLoader(dataset, num_workers=4, collate_fn=collate):
                model(batch).backward()
        """,
        """
        import numpy as np
        import torch
        from torch.utils.data import DataLoader

        def train(dataset, model, noise):
            loader = DataLoader(dataset, num_workers=4)
            for batch in loader:
                weights = torch.from_numpy(np.random.normal(size=3))
                loss = (model(batch) * weights).sum()
                loss.backward()
                mean = torch.tensor(float(loss))
                print(mean)
        """,
    ),
)
