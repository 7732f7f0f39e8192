"""Two ranks over gloo, each with a DistributedSampler; rank 1 loads more slowly."""

import time

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler


class Points(Dataset):
    def __len__(self):
        return 48

    def __getitem__(self, index):
        if dist.get_rank() == 1:
            time.sleep(0.01)
        return torch.full((3,), float(index)), torch.rand(1)


def main():
    dist.init_process_group("gloo")
    torch.manual_seed(3)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 1))
    sampler = DistributedSampler(Points(), shuffle=True)
    loader = DataLoader(Points(), batch_size=4, sampler=sampler, num_workers=1)
    seen = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        for points, targets in loader:
            seen.append(round(points.sum().item() + targets.sum().item(), 4))
            torch.nn.functional.mse_loss(model(points), targets).backward()
    every = [None, None]
    dist.all_gather_object(every, seen)
    if dist.get_rank() == 0:
        print(every, torch.rand(1).item())
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
