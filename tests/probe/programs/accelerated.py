"""Accelerate: a prepared loader, as ``python`` and as ``accelerate launch`` run it."""

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader, Dataset


class Points(Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, index):
        return torch.full((3,), float(index)), torch.rand(1)


def main():
    accelerator = Accelerator(cpu=True)
    set_seed(3)
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    loader = DataLoader(Points(), batch_size=4, shuffle=True, num_workers=2)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    seen = []
    for _ in range(2):
        for points, targets in loader:
            seen.append(round(points.sum().item() + targets.sum().item(), 4))
            loss = torch.nn.functional.mse_loss(model(points), targets)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
    every = accelerator.gather(torch.tensor(seen)).tolist()
    accelerator.print(every, torch.rand(1).item())
    accelerator.end_training()


if __name__ == "__main__":
    main()
