"""Every item builds something that is the same for all items.

A tokenizer or a model is read from disk, a resampler computes its filter, a mel transform its filter bank:
milliseconds to seconds, for a thing that one could keep. Source: documentation of
`torchaudio.transforms.Resample` and of `transformers` (*from_pretrained*).

**Found:** in the item path, a transform pipeline, tokenizer, model, resampler or spectrogram transform that
is built from things that do not vary with the item.

**Left alone:** what depends on the item (a rate that was read from the file); cheap transforms (`ToTensor`,
`Normalize`); what is built lazily, once per worker.

**Cure:** build it in `__init__`, or at first use in the worker, and keep it on `self`. **Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.lint.rule import Report, Rule
from dlcheck.program.items import ItemCall, item_calls, short
from dlcheck.program.program import Program

_COSTLY = frozenset(
    {
        "torchvision.transforms.Compose", "torchvision.transforms.v2.Compose", "torchvision.transforms.transforms.Compose",
        "albumentations.Compose", "monai.transforms.Compose", "librosa.filters.mel", "spacy.load",
        "tiktoken.get_encoding", "tiktoken.encoding_for_model", "sentencepiece.SentencePieceProcessor",
        "tokenizers.Tokenizer.from_file", "tokenizers.Tokenizer.from_pretrained", "timm.create_model",
        "torch.hub.load", "clip.load", "open_clip.create_model_and_transforms", "whisper.load_model",
        "nltk.tokenize.RegexpTokenizer",
    }
    | {
        f"torchaudio.transforms.{name}"
        for name in (
            "Resample", "MelSpectrogram", "Spectrogram", "MFCC", "LFCC", "MelScale", "InverseMelScale", "GriffinLim",
        )
    }
)  # fmt: skip


def check(program: Program) -> Iterator[Report]:
    for item in item_calls(program):
        name = next((n for n in item.names if _costly(n)), None)
        if name is None or not item.repeats:
            continue
        given = (*item.call.args, *(value for _, value in item.call.keywords))
        if all(item.fixed(g) for g in given):
            yield Report(
                item.scope,
                item.call.at,
                f"`{_spelled(item, name)}` is built again for every item, and is the same each time: build it once in "
                "`__init__` and keep it on `self`",
                help="build it in `__init__`, or at first use in the worker",
            )


def _costly(name: str) -> bool:
    if name in _COSTLY or name.startswith("torchvision.models."):
        return True
    return name.startswith("transformers.") and name.endswith(".from_pretrained")


def _spelled(item: ItemCall, name: str) -> str:
    return ".".join(short(name).split(".")[-2:])


RULE = Rule(
    code="DLC110",
    name="invariant-built-per-item",
    severity="warning",
    check=check,
    page=__doc__ or "",
    causes=("fetch-cpu",),
    found=(
        """
        from PIL import Image
        from torch.utils.data import Dataset
        from torchvision import transforms

        class Photos(Dataset):
            def __init__(self, paths, size):
                self.paths = paths
                self.size = size
            def __getitem__(self, i):
                image = Image.open(self.paths[i]).convert("RGB")
                transform = transforms.Compose([transforms.Resize(self.size), transforms.ToTensor()])  # <- DLC110
                return transform(image)
        """,
        """
        from torch.utils.data import Dataset
        from transformers import AutoTokenizer

        class Texts(Dataset):
            def __init__(self, texts, name):
                self.texts = texts
                self.name = name
            def __getitem__(self, i):
                tokenizer = AutoTokenizer.from_pretrained(self.name)  # <- DLC110
                return tokenizer(self.texts[i])
        """,
        """
        import torchaudio
        import torchaudio.transforms as T
        from torch.utils.data import Dataset

        def load(path):
            sound, _ = torchaudio.load(path)
            return T.Resample(22050, 16000)(sound)  # <- DLC110

        class Sounds(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __getitem__(self, i):
                return load(self.paths[i])
        """,
        """
        import torch
        from torch.utils.data import DataLoader
        from transformers import BertTokenizer

        def collate(batch):
            tokenizer = BertTokenizer.from_pretrained("bert-base-uncased")  # <- DLC110
            return tokenizer(batch, padding=True, return_tensors="pt")

        def loader(texts):
            return DataLoader(texts, batch_size=8, collate_fn=collate)
        """,
    ),
    clean=(
        """
        from PIL import Image
        from torch.utils.data import Dataset
        from torchvision import transforms

        class Photos(Dataset):
            def __init__(self, paths):
                self.paths = paths
                self.transform = transforms.Compose([transforms.ToTensor()])
            def __getitem__(self, i):
                return self.transform(Image.open(self.paths[i]).convert("RGB"))
        """,
        """
        import torchaudio
        from torch.utils.data import Dataset

        class Sounds(Dataset):
            def __init__(self, paths, rate):
                self.paths = paths
                self.rate = rate
            def __getitem__(self, i):
                sound, rate = torchaudio.load(self.paths[i])
                return torchaudio.transforms.Resample(rate, self.rate)(sound)
        """,
        """
        from torch.utils.data import Dataset
        from transformers import AutoTokenizer

        class Texts(Dataset):
            def __init__(self, texts):
                self.texts = texts
                self.tokenizer = None
            def __getitem__(self, i):
                if self.tokenizer is None:
                    self.tokenizer = AutoTokenizer.from_pretrained("gpt2")
                return self.tokenizer(self.texts[i])
        """,
        """
        import random
        from PIL import Image
        from torch.utils.data import Dataset
        from torchvision import transforms

        class Crops(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __getitem__(self, i):
                size = random.choice([128, 256])
                transform = transforms.Compose([transforms.Resize(size), transforms.ToTensor()])
                return transform(Image.open(self.paths[i]))
        """,
        """
        from torchvision import transforms
        from torch.utils.data import Dataset

        class Cheap(Dataset):
            def __init__(self, images):
                self.images = images
            def __getitem__(self, i):
                return transforms.ToTensor()(self.images[i])
        """,
    ),
)
