"""Layers that both nets are made of: dense 3x3 convolutions with batch norm and ReLU, which fold into one ONNX node each."""

import torch
from torch import nn


class Conv(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1):
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
            nn.ReLU(inplace=True),
        )


class Block(nn.Module):
    """Residual bottleneck: 1x1 down, 3x3, added to what came in."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.down = Conv(width, hidden, 1)
        self.up = nn.Sequential(
            nn.Conv2d(hidden, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width, eps=1e-3, momentum=0.03),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.up(self.down(x)))


class Stage(nn.Sequential):
    """Halves the picture, then some blocks."""

    def __init__(self, inputs: int, outputs: int, blocks: int, hidden: int):
        super().__init__(Conv(inputs, outputs, 3, 2), *(Block(outputs, hidden) for _ in range(blocks)))


class Pyramid(nn.Module):
    """Spatial pyramid pooling: three 5x5 maxima in a row, joined."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.down = Conv(width, hidden, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.up = Conv(4 * hidden, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [self.down(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.up(torch.cat(parts, 1))


def folded(model: nn.Module) -> nn.Module:
    """Folds batch norms into the convolutions before them, in place; the model must be in eval mode."""
    for module in model.modules():
        if isinstance(module, nn.Sequential):
            for index in range(len(module) - 1):
                conv, norm = module[index], module[index + 1]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[index] = nn.utils.fuse_conv_bn_eval(conv, norm)
                    module[index + 1] = nn.Identity()
    return model
