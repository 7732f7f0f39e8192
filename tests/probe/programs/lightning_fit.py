"""Lightning's Trainer: two epochs of training with workers, and validation inline."""

import logging
import warnings

import lightning
import torch
from torch.utils.data import DataLoader, Dataset


class Points(Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, index):
        return torch.full((3,), float(index)), torch.rand(1)


class Data(lightning.LightningDataModule):
    def train_dataloader(self):
        return DataLoader(Points(), batch_size=4, shuffle=True, num_workers=2)

    def val_dataloader(self):
        return DataLoader(Points(), batch_size=8)


class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)
        self.seen = []

    def training_step(self, batch, number):
        self.seen.append(round(sum(part.sum().item() for part in batch), 4))
        return torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])

    def validation_step(self, batch, number):
        self.seen.append(round(sum(part.sum().item() for part in batch), 4))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-4)


def main():
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    lightning.seed_everything(3, verbose=False)
    model = Model()
    lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(model, datamodule=Data())
    print(model.seen, torch.rand(1).item())


if __name__ == "__main__":
    main()
