"""The default metric depth net: a U-net that sees the direction of each pixel's ray, so that it answers in metres.

From the picture as a whole it first finds the ground as it is seen: the row of the horizon, its slope, and how fast things
on the ground grow below it, in object pixels a pixel of row, for objects of a metre. None of the three depends on the camera;
with the focal length they give the ground's depth at every pixel:

    1 / depth = (row - horizon - slope * (column - middle)) / (focal length * spacing)

where the spacing, metres, is the camera's height over the cosine of its pitch. The horizon is seen from the picture as a
whole; the spacing is what many places of the picture vote for, each from the depth it sees on its own (from the size of
people, cars, tiles). The rest of the net says where there is ground, and how deep the picture is where there is none.
"""

import torch
from torch import nn
from torch.nn import functional

from layers import Conv, Pyramid, Stage

WIDTH, HEIGHT = 320, 192
# Folded into the first convolution when the net is exported.
INPUT_SCALE = 4.0
# Depths are learned relative to a camera of this focal length in pixels of the input: an object twice as large in the
# picture is twice as near, whatever the camera.
FOCAL_PX = 260.0
# Logarithm of the depth, metres, that a fresh net says.
START_LOG_M = 2.7
LEAST_M, MOST_M = 0.3, 300.0
# What a fresh net says: the horizon's row as a share of the picture's height, and the logarithm of the spacing.
START_HORIZON, START_SPACING_LOG_M = 0.15, 1.6
# The ground is followed as far as this, metres.
GROUND_M = 120.0


class Depth(nn.Module):
    """Picture [B, 3, 192, 320], 0 to 1 times `INPUT_SCALE`, red first, and intrinsics [B, 3, 3] in its pixels -> log depth, sky
    logits, logits of seeing the ground, [B, 192, 320] each; the ground [B, 3]: horizon as a share of the picture's height,
    slope, logarithm of the spacing; and log depth seen from nearby [B, 24, 40]."""

    def __init__(self):
        super().__init__()
        self.stem = Conv(3, 24, 3, 2)
        self.to4 = Stage(24, 48, 1, 24)
        self.to8 = Stage(48 + 4, 96, 2, 48)
        self.to16 = Stage(96, 160, 2, 80)
        self.to32 = nn.Sequential(Stage(160 + 4, 192, 2, 96), Pyramid(192, 64))
        # What the picture as a whole says about the ground.
        self.squeeze = Conv(192, 32, 1)
        self.whole = nn.Sequential(nn.Linear(32 * (WIDTH // 32) * (HEIGHT // 32) + 4, 160), nn.ReLU())
        self.spread, self.lies = nn.Linear(160, 192), nn.Linear(160, 3)
        nn.init.normal_(self.lies.weight, std=0.01)
        nn.init.zeros_(self.lies.bias)
        self.ground8 = Conv(2, 64, 1)
        # Depth seen from nearby alone, and how much it should count.
        self.vote = nn.Conv2d(64, 2, 1)
        nn.init.normal_(self.vote.weight, std=0.01)
        nn.init.zeros_(self.vote.bias)
        self.up16, self.skip16 = Conv(192, 96, 1), Conv(160, 96, 1)
        self.up8, self.skip8 = Conv(96, 64, 1), Conv(96, 64, 1)
        self.up4, self.skip4 = Conv(64, 40, 1), Conv(48, 40, 1)
        self.up2, self.skip2 = Conv(32, 24, 1), nn.Identity()
        self.mix16, self.mix8, self.mix4, self.mix2 = Conv(96, 96), Conv(64, 64), Conv(40, 32), Conv(24, 24)
        self.head = nn.Conv2d(24, 12, 3, 1, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        for stride in (1, 4, 8, 16):
            # Centres of the cells of a stride, in pixels of the input.
            centres = (torch.arange(side // stride) * stride + (stride - 1) / 2 for side in (WIDTH, HEIGHT))
            columns, rows = centres
            self.register_buffer(f"columns{stride}", columns.view(1, 1, 1, -1), persistent=False)
            self.register_buffer(f"rows{stride}", rows.view(1, 1, -1, 1), persistent=False)

    def forward(self, picture: torch.Tensor, intrinsics: torch.Tensor) -> tuple[torch.Tensor, ...]:
        fx, fy, cx, cy = (intrinsics[:, r, c].view(-1, 1, 1, 1) for r, c in ((0, 0), (1, 1), (0, 2), (1, 2)))
        log_x, log_y = torch.log(fx / FOCAL_PX), torch.log(fy / FOCAL_PX)

        def rays(columns: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
            """Tangents across and down of each ray, and both focal lengths, as four planes."""
            plane = columns * 0 + rows * 0
            return torch.cat([(columns - cx) / fx + plane, (rows - cy) / fy + plane, log_x + plane, log_y + plane], 1)

        c2 = self.stem(picture)
        c4 = self.to4(c2)
        c8 = self.to8(torch.cat([c4, rays(self.columns4, self.rows4).to(c4.dtype)], 1))
        c16 = self.to16(c8)
        c32 = self.to32(torch.cat([c16, rays(self.columns16, self.rows16).to(c16.dtype)], 1))
        middle = [((WIDTH - 1) / 2 - cx) / fx, ((HEIGHT - 1) / 2 - cy) / fy, log_x, log_y]
        middle = torch.cat(middle, 1).flatten(1).to(c32.dtype)
        whole = self.whole(torch.cat([self.squeeze(c32).flatten(1), middle], 1))
        x = c32 + self.spread(whole)[:, :, None, None]
        start = torch.tensor([START_HORIZON, 0.0, START_SPACING_LOG_M])
        found = self.lies(whole).float() * torch.tensor([1.0, 0.3, 1.0]) + start
        horizon, slope, spacing = (value.view(-1, 1, 1, 1) for value in found.unbind(1))
        horizon = horizon * HEIGHT - 0.5 - slope * ((WIDTH - 1) / 2)

        def ground(columns: torch.Tensor, rows: torch.Tensor, spacing: torch.Tensor) -> torch.Tensor:
            """Logarithm of the ground's depth; that of `GROUND_M` above the horizon."""
            inverse = (rows - horizon - slope * columns) * (torch.exp(-spacing) / fy)
            return -inverse.clamp(min=1 / GROUND_M).log()

        def twice(small: torch.Tensor) -> torch.Tensor:
            return functional.interpolate(small, scale_factor=2.0, mode="nearest")

        x = self.mix16(twice(self.up16(x)) + self.skip16(c16))
        # In pixels of a canonical camera, as the net thinks.
        focal = 0.5 * (log_x + log_y)
        ground8 = ground(self.columns8, self.rows8, spacing).detach() - START_LOG_M
        ground8 = torch.cat([ground8, ground8 - focal], 1).to(x.dtype)
        x = self.mix8(twice(self.up8(x)) + self.skip8(c8) + self.ground8(ground8))
        vote = self.vote(x).float()
        near_log_m = vote[:, :1] * 2 + START_LOG_M + focal
        # Rows below the horizon; the horizon itself is not moved for the votes' sake.
        below = (self.rows8 - horizon - slope * self.columns8).detach()
        counts = vote[:, 1:] * 4 - 1e4 * (below < 2).float()
        counts = counts.flatten(1).softmax(1)
        votes = (near_log_m + below.clamp(min=2).log() - fy.log()).flatten(1)
        spacing = (counts * votes).sum(1).view(-1, 1, 1, 1)
        found = torch.cat([found[:, :2], spacing.flatten(1)], 1)
        x = self.mix4(twice(self.up4(x)) + self.skip4(c4))
        x = self.mix2(twice(self.up2(x)) + self.skip2(c2))
        out = functional.pixel_shuffle(self.head(x), 2).float()
        ground_log_m = ground(self.columns1, self.rows1, spacing)[:, 0]
        log_m = out[:, 0] * 2 + START_LOG_M + focal[:, 0]
        on_ground = out[:, 2] * 4
        log_m = log_m + on_ground.sigmoid() * (ground_log_m - log_m)
        return log_m, out[:, 1] * 4, on_ground, found, near_log_m[:, 0]


class Exported(nn.Module):
    """The net as it is exported: metres and the probability of sky, [B, 1, 192, 320] each."""

    def __init__(self, depth: Depth):
        super().__init__()
        self.depth = depth

    def forward(self, image: torch.Tensor, K: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: N803
        log_m, sky, *_ = self.depth(image, K)
        return log_m.exp().clamp(LEAST_M, MOST_M).unsqueeze(1), sky.sigmoid().unsqueeze(1)
