"""A loader whose time goes to two known lines: one burns CPU, the other sleeps some seven times as long."""

import sys
import time

from torch.utils.data import DataLoader, Dataset


def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class Slow(Dataset):
    def __len__(self):
        return 100

    def __getitem__(self, index):
        time.sleep(0.02)
        burn(0.003)
        if index == 77:
            time.sleep(0.3)
        return index


def main():
    loader = DataLoader(Slow(), batch_size=5, num_workers=int(sys.argv[1]))
    for _ in range(int(sys.argv[2])):
        for _ in loader:
            pass


if __name__ == "__main__":
    main()
