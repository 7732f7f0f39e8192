"""Names of other packages that mean something for data loading. Sources: the packages' own documentation."""

from __future__ import annotations

MAP_DATASETS = frozenset(
    {
        "torch.utils.data.Dataset",
        "torch.utils.data.dataset.Dataset",
        "torchvision.datasets.VisionDataset",
        "torchvision.datasets.ImageFolder",
        "torchvision.datasets.DatasetFolder",
        "torchvision.datasets.vision.VisionDataset",
        "torchvision.datasets.CocoDetection",
        "torchvision.datasets.MNIST",
        "torchvision.datasets.CIFAR10",
        "torchvision.datasets.CIFAR100",
        "torch_geometric.data.Dataset",
        "torch_geometric.data.InMemoryDataset",
        "monai.data.Dataset",
        "torch.utils.data.TensorDataset",
        "torch.utils.data.Subset",
        "torch.utils.data.ConcatDataset",
    }
)
ITERABLE_DATASETS = frozenset(
    {
        "torch.utils.data.IterableDataset",
        "torch.utils.data.dataset.IterableDataset",
        "torch.utils.data.IterDataPipe",
        "torch.utils.data.datapipes.datapipe.IterDataPipe",
        "torch.utils.data.ChainDataset",
    }
)
DATASETS = MAP_DATASETS | ITERABLE_DATASETS

TORCH_LOADERS = frozenset(
    {
        "torch.utils.data.DataLoader",
        "torch.utils.data.dataloader.DataLoader",
        "torchdata.stateful_dataloader.StatefulDataLoader",
        "monai.data.DataLoader",
        "monai.data.ThreadDataLoader",
    }
)
GRAPH_LOADERS = frozenset(
    f"torch_geometric.{package}.{name}"
    for package in ("loader", "data")
    for name in (
        "DataLoader", "DataListLoader", "DenseDataLoader", "NeighborLoader", "LinkNeighborLoader", "ClusterLoader",
        "GraphSAINTSampler", "GraphSAINTRandomWalkSampler", "NeighborSampler", "HGTLoader", "ShaDowKHopSampler",
        "RandomNodeLoader",
    )
)  # fmt: skip
LOADERS = TORCH_LOADERS | GRAPH_LOADERS

LIGHTNING_PACKAGES = ("lightning", "pytorch_lightning")
LIGHTNING_HOOKS = {
    "train_dataloader": "train",
    "val_dataloader": "eval",
    "test_dataloader": "eval",
    "predict_dataloader": "eval",
}

# Datasets of other packages whose items are read from disk, one file or record each.
READS_FILES = frozenset(
    f"torchvision.datasets.{name}"
    for name in (
        "ImageFolder", "DatasetFolder", "ImageNet", "CocoDetection", "CocoCaptions", "VOCSegmentation", "VOCDetection",
        "Cityscapes", "CelebA", "Places365", "LSUN", "Flowers102", "OxfordIIITPet", "Food101", "Kinetics", "UCF101",
        "HMDB51", "INaturalist", "SBDataset", "StanfordCars", "FGVCAircraft", "Caltech101", "Caltech256", "DTD", "GTSRB",
        "WIDERFace", "LFWPeople", "Country211", "RenderedSST2", "SUN397", "EuroSAT",
    )
) | {"timm.data.ImageDataset"}  # fmt: skip
IN_MEMORY = frozenset(
    {f"torchvision.datasets.{name}" for name in (
        "MNIST", "FashionMNIST", "KMNIST", "EMNIST", "QMNIST", "CIFAR10", "CIFAR100", "SVHN", "STL10", "USPS",
        "SEMEION", "FakeData", "Omniglot",
    )} | {"torch.utils.data.TensorDataset"}
)  # fmt: skip

DATASET_WRAPPERS = frozenset(
    f"torch.utils.data.{name}"
    for name in ("Subset", "random_split", "ConcatDataset", "ChainDataset", "StackDataset")
)

# Openers whose handle stands for a whole container: name -> what it is called in a message.
CONTAINERS = {
    "h5py.File": "HDF5 file",
    "h5py._hl.files.File": "HDF5 file",
    "tables.open_file": "PyTables file",
    "zarr.open": "zarr store",
    "zarr.open_group": "zarr store",
    "zarr.open_array": "zarr store",
    "lmdb.open": "LMDB environment",
    "lmdb.Environment": "LMDB environment",
    "sqlite3.connect": "SQLite database",
    "zipfile.ZipFile": "zip archive",
    "tarfile.open": "tar archive",
    "tarfile.TarFile": "tar archive",
    "tarfile.TarFile.open": "tar archive",
    "netCDF4.Dataset": "netCDF file",
    "xarray.open_dataset": "netCDF file",
    "rasterio.open": "raster file",
    "openslide.OpenSlide": "slide",
    "openslide.open_slide": "slide",
    "tiffslide.TiffSlide": "slide",
    "tifffile.TiffFile": "TIFF file",
    "pandas.HDFStore": "HDF5 file",
    "pyarrow.parquet.ParquetFile": "Parquet file",
    "duckdb.connect": "DuckDB database",
}
# Openers of plain files.
PLAIN_OPENERS = frozenset(
    {"builtins.open", "io.open", "codecs.open", "gzip.open", "bz2.open", "lzma.open", "pathlib.Path.open"}
)
VIDEO_READERS = frozenset({"cv2.VideoCapture", "decord.VideoReader", "av.open", "imageio.get_reader"})
# Readers that bring a whole file into memory.
WHOLE_READERS = {
    "numpy.load": "array file",
    "numpy.loadtxt": "text table",
    "numpy.genfromtxt": "text table",
    "numpy.fromfile": "array file",
    "torch.load": "tensor file",
    "pandas.read_csv": "CSV table",
    "pandas.read_table": "table",
    "pandas.read_parquet": "Parquet table",
    "pandas.read_pickle": "pickled table",
    "pandas.read_json": "JSON table",
    "pandas.read_feather": "Feather table",
    "pandas.read_excel": "spreadsheet",
    "pandas.read_hdf": "HDF5 table",
    "json.load": "JSON file",
    "pickle.load": "pickle file",
    "yaml.safe_load": "YAML file",
    "yaml.load": "YAML file",
    "scipy.io.loadmat": "MAT file",
    "joblib.load": "joblib file",
    "safetensors.torch.load_file": "safetensors file",
    "pyarrow.parquet.read_table": "Parquet table",
    "polars.read_csv": "CSV table",
    "polars.read_parquet": "Parquet table",
    "linecache.getline": "text file",
}
# Decoders of one sample: images, sound, video frames.
DECODERS = frozenset(
    {
        "PIL.Image.open", "cv2.imread", "cv2.imdecode", "imageio.imread", "imageio.v2.imread", "imageio.v3.imread",
        "skimage.io.imread", "torchvision.io.read_image", "torchvision.io.decode_image", "torchvision.io.decode_jpeg",
        "torchvision.io.read_video", "matplotlib.pyplot.imread", "matplotlib.image.imread", "tifffile.imread",
        "soundfile.read", "librosa.load", "librosa.core.load", "torchaudio.load", "scipy.io.wavfile.read",
        "nibabel.load", "pydicom.dcmread", "SimpleITK.ReadImage", "torchvision.datasets.folder.default_loader",
        "torchvision.datasets.folder.pil_loader", "rasterio.open", "trimesh.load", "open3d.io.read_point_cloud",
        "decord.VideoReader", "av.open", "audiofile.read",
    }
)  # fmt: skip
CPU_COUNTS = frozenset(
    {
        "os.cpu_count", "multiprocessing.cpu_count", "torch.multiprocessing.cpu_count", "psutil.cpu_count",
        "os.sched_getaffinity", "os.process_cpu_count", "torch.cuda.device_count",
    }
)  # fmt: skip

# What ``from module import *`` brings, of what matters here.
STAR_NAMES = {
    "torch.utils.data": frozenset(
        ["Dataset", "IterableDataset", "DataLoader", "TensorDataset", "Subset", "random_split"]
    ),
    "torch": frozenset(["Tensor", "tensor", "load", "device", "no_grad"]),
}


def is_test(path: str) -> bool:
    """A file of tests, by its name or by a folder that it lies in."""
    *folders, name = path.split("/")
    return name.startswith("test_") or name == "conftest.py" or bool({"test", "tests"} & set(folders))
