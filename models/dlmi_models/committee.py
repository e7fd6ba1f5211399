"""Several compact nets whose probabilities are averaged; each is trained on batches of its own.

Source: L. K. Hansen, P. Salamon, "Neural Network Ensembles", IEEE PAMI 12 (1990) 993-1001.
"""

import torch
from torch import Tensor, nn

from dlmi_models import compact
from dlmi_models.compact import CompactCNN

LEAST = 1e-30  # a probability below it is none


class Committee(nn.Module):
    """Members that take turns in training, and answer together with the logarithm of their mean probability."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_classes: int,
        n_members: int,
        n_channels1: int,
        n_channels2: int,
        n_channels3: int,
    ) -> None:
        super().__init__()
        widths = (n_channels1, n_channels2, n_channels3)
        self.members = nn.ModuleList(CompactCNN(input_shape, n_classes, *widths) for _ in range(n_members))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return self.members[int(torch.randint(len(self.members), ()))](x)
        shares = torch.stack([member(x).softmax(1) for member in self.members])  # (member, batch, n_classes)
        return shares.mean(0).clamp(min=LEAST).log()  # (batch, n_classes)


def compute_macs(
    input_shape: tuple[int, ...],
    n_classes: int,
    n_members: int,
    n_channels1: int,
    n_channels2: int,
    n_channels3: int,
) -> int:
    """Multiply-accumulates of one example, of all members together."""
    return n_members * compact.compute_macs(input_shape, n_classes, n_channels1, n_channels2, n_channels3)
