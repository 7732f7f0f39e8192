"""PyG: its DataLoader over small graphs, and a loader that samples the nodes of a large one."""

import torch
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader, RandomNodeLoader


def graph(number):
    edges = torch.tensor([[0, 1, 2], [1, 2, 0]])
    return Data(x=torch.full((3, 2), float(number)), edge_index=edges)


def batched():
    return DataLoader([graph(n) for n in range(24)], batch_size=4, shuffle=True, num_workers=2)


def nodes():
    large = Data(x=torch.arange(48.0).view(24, 2), edge_index=torch.randint(24, (2, 60)))
    return RandomNodeLoader(large, num_parts=6, num_workers=2, shuffle=True)


def main():
    torch.manual_seed(3)
    for way in (batched, nodes):
        loader = way()
        for _ in range(2):
            print(way.__name__, [(round(b.x.sum().item(), 3), b.num_edges) for b in loader])
    print(torch.rand(1).item())


if __name__ == "__main__":
    main()
