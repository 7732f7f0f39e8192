"""Hugging Face's Trainer over a dataset in memory: two epochs, evaluation after each."""

import sys

import torch
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainingArguments


class Points(Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, index):
        return {"x": torch.full((3,), float(index)), "labels": torch.rand(1)}


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)
        self.seen = []

    def forward(self, x, labels):
        self.seen.append(round(x.sum().item() + labels.sum().item(), 4))
        output = self.layer(x)
        return {"loss": torch.nn.functional.mse_loss(output, labels), "logits": output}


def main(directory):
    model = Model()
    arguments = TrainingArguments(
        output_dir=directory,
        num_train_epochs=2,
        per_device_train_batch_size=4,
        per_device_eval_batch_size=8,
        dataloader_num_workers=2,
        eval_strategy="epoch",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        seed=3,
    )
    trainer = Trainer(model, arguments, train_dataset=Points(), eval_dataset=Points())
    trainer.remove_callback(PrinterCallback)  # it prints times
    trainer.train()
    print(model.seen, torch.rand(1).item())


if __name__ == "__main__":
    main(sys.argv[1])
