"""The default detector: an anchor-free net in YOLOX's contract (strides 8, 16, 32; x, y, w, h, objectness, classes)."""

import torch
from torch import nn
from torch.nn import functional

from layers import Conv, Pyramid, Stage

CLASSES = ["person", "bicycle", "car", "motorcycle", "bus", "truck", "sports ball"]
STRIDES = (8, 16, 32)
WIDTH, HEIGHT = 640, 384
# Folded into the first convolution when the net is exported.
INPUT_SCALE = 1 / 64


class Detector(nn.Module):
    """Picture as blue, green, red planes, 0 to 255 times `INPUT_SCALE`, [B, 3, 384, 640] -> raw predictions [B, 5040, 5 + classes]."""

    def __init__(self, classes: int = len(CLASSES)):
        super().__init__()
        self.stem = Conv(3, 16, 3, 2)
        self.to4 = Conv(16, 32, 3, 2)
        self.to8 = Stage(32, 64, 2, 32)
        self.to16 = Stage(64, 128, 2, 64)
        self.to32 = nn.Sequential(Stage(128, 192, 1, 96), Pyramid(192, 64))
        neck = 48
        self.lateral8, self.lateral16, self.lateral32 = Conv(64, neck, 1), Conv(128, neck, 1), Conv(192, neck, 1)
        self.down16 = Conv(neck, neck)
        self.up16, self.up32 = Conv(neck, neck, 3, 2), Conv(neck, neck, 3, 2)
        self.towers = nn.ModuleList(nn.Sequential(Conv(neck, 64)) for _ in STRIDES)
        self.heads = nn.ModuleList(nn.Conv2d(64, 5 + classes, 1) for _ in STRIDES)
        for head in self.heads:
            nn.init.zeros_(head.weight)
            with torch.no_grad():
                head.bias.zero_()
                # A prior of one object in a hundred cells keeps the first steps calm; boxes start four cells wide.
                head.bias[4] = -4.6
                head.bias[2:4] = 1.2

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        x = self.to4(self.stem(picture))
        c8 = self.to8(x)
        c16 = self.to16(c8)
        c32 = self.to32(c16)
        p32 = self.lateral32(c32)
        p16 = self.down16(self.lateral16(c16) + functional.interpolate(p32, scale_factor=2.0, mode="nearest"))
        p8 = self.lateral8(c8) + functional.interpolate(p16, scale_factor=2.0, mode="nearest")
        p16 = self.up16(p8) + p16
        p32 = self.up32(p16) + p32
        outputs = [head(tower(p)).flatten(2) for head, tower, p in zip(self.heads, self.towers, (p8, p16, p32))]
        return torch.cat(outputs, 2).transpose(1, 2)


class Exported(nn.Module):
    """The detector as it is exported: objectness and classes as probabilities."""

    def __init__(self, detector: Detector):
        super().__init__()
        self.detector = detector

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        raw = self.detector(picture)
        return torch.cat([raw[..., :4], raw[..., 4:].sigmoid()], -1)


def grid(width: int = WIDTH, height: int = HEIGHT) -> tuple[torch.Tensor, torch.Tensor]:
    """Cells of all strides: their columns and rows [A, 2] and their strides [A, 1]."""
    cells, strides = [], []
    for stride in STRIDES:
        rows, columns = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        cells.append(torch.stack([columns, rows], -1).reshape(-1, 2).float())
        strides.append(torch.full((cells[-1].shape[0], 1), float(stride)))
    return torch.cat(cells), torch.cat(strides)


def boxes(raw: torch.Tensor, cells: torch.Tensor, strides: torch.Tensor) -> torch.Tensor:
    """Boxes as left, top, right, bottom in pixels of the input from raw predictions."""
    centre = (raw[..., :2] + cells) * strides
    half = raw[..., 2:4].clamp(-4, 6).exp() * strides * 0.5
    return torch.cat([centre - half, centre + half], -1)
