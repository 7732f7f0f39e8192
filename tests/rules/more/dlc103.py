"""More examples of DLC103, beside those of its page."""

FOUND: tuple[str, ...] = ()
CLEAN = (
    """
    import h5py
    import nibabel as nib
    from torch.utils.data import Dataset

    class Volumes(Dataset):
        def __init__(self, places):
            self.places = places
        def __getitem__(self, i):
            path, z = self.places[i]
            volume = nib.load(path).get_fdata()
            mask = nib.load(path + ".seg").get_fdata()
            slices = [mask[:, :, n] for n in range(mask.shape[2])]
            with h5py.File(path + ".h5", "r") as f:
                dose = f["dose"][:]
            return volume[:, :, z] / volume.max(), slices, dose[z] - dose.mean()
    """,
)
