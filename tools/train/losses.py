"""What the nets learn from: SimOTA assignment for the detector, scale-aware log depth for the depth net."""

import torch
from torch.nn import functional

from detector_net import CLASSES, boxes


def overlap(a: torch.Tensor, b: torch.Tensor, generalised: bool = False) -> torch.Tensor:
    """Intersection over union of boxes [..., 4], or the generalised one (Rezatofighi et al., 2019)."""
    wh = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    inner = wh[..., 0] * wh[..., 1]
    area_a = (a[..., 2] - a[..., 0]) * (a[..., 3] - a[..., 1])
    area_b = (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
    union = area_a + area_b - inner + 1e-6
    iou = inner / union
    if not generalised:
        return iou
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    hull = hull[..., 0] * hull[..., 1] + 1e-6
    return iou - (hull - union) / hull


@torch.no_grad()
def assign(raw, found, cells, strides, truth, labels):
    """SimOTA (Ge et al., 2021) for one picture: which cells stand for which object.

    `raw` [A, 5 + C] and their boxes `found` [A, 4]; `truth` [G, 4], `labels` [G]. Returns cells [N] and objects [N].
    """
    centres = (cells + 0.5) * strides
    middle = 0.5 * (truth[:, :2] + truth[:, 2:])
    near = ((centres[None] - middle[:, None]).abs() <= 1.5 * strides[None]).all(-1)
    inside = ((centres[None] > truth[:, None, :2]) & (centres[None] < truth[:, None, 2:])).all(-1)
    # A ball of a few pixels may lie between cell centres: nearness alone then counts.
    close = near & inside | near & (~(near & inside).any(1, keepdim=True))
    candidates = close.any(0).nonzero().squeeze(1)
    if candidates.numel() == 0:
        empty = torch.empty(0, dtype=torch.long)
        return empty, empty
    close = close[:, candidates]
    iou = overlap(truth[:, None], found[candidates][None])
    score = raw[candidates, 5:].sigmoid() * raw[candidates, 4:5].sigmoid()
    score = score[:, labels].t().clamp(1e-6, 1).sqrt()
    # The side an object should have at a stride is about four cells; this guides the first steps, before boxes overlap.
    side = ((truth[:, 2:] - truth[:, :2]).clamp(min=1).log2().mean(1))[:, None]
    level = (strides[candidates, 0].log2() + 2)[None]
    cost = -score.log() - 3 * (iou + 1e-6).log() + 0.5 * (side - level).abs() + 1e5 * (~close)
    most = min(10, iou.shape[1])
    best, _ = (iou * close).topk(most, dim=1)
    count = best.sum(1).round().long().clamp(min=1)
    _, order = cost.topk(most, dim=1, largest=False)
    chosen = torch.zeros_like(close).scatter_(1, order, torch.arange(most)[None] < count[:, None]) & close
    # A cell stands for the one object that it fits best.
    cheapest = torch.where(chosen, cost, torch.full_like(cost, 1e9)).argmin(0)
    taken = chosen.any(0).nonzero().squeeze(1)
    return candidates[taken], cheapest[taken]


def detector_loss(raw, targets, cells, strides):
    """`raw` [B, A, 5 + C]; `targets` one (boxes, classes, ignored) a picture. Returns the loss and its parts."""
    found = boxes(raw, cells, strides)
    wanted_objectness = torch.zeros(raw.shape[:2])
    weight = torch.ones(raw.shape[:2])
    centres = (cells + 0.5) * strides
    pictures, rows, truth, labels = [], [], [], []
    for index, (truth_boxes, classes, ignored) in enumerate(targets):
        blurred = truth_boxes[ignored]
        if len(blurred):
            hidden = ((centres[None] > blurred[:, None, :2]) & (centres[None] < blurred[:, None, 2:])).all(-1).any(0)
            weight[index, hidden] = 0
        clear, classes = truth_boxes[~ignored], classes[~ignored]
        if len(clear):
            cell, which = assign(raw[index].detach(), found[index].detach(), cells, strides, clear, classes)
            pictures.append(torch.full_like(cell, index))
            rows.append(cell)
            truth.append(clear[which])
            labels.append(classes[which])
    count = max(1, sum(map(len, rows)))
    box_loss = class_loss = raw.sum() * 0
    if rows:
        pictures, rows = torch.cat(pictures), torch.cat(rows)
        truth, labels = torch.cat(truth), torch.cat(labels)
        ours, mine = found[pictures, rows], raw[pictures, rows]
        giou = overlap(ours, truth, generalised=True)
        box_loss = (1 - giou).sum() / count
        # Sides relative to the object's: what IoU says badly of small ones.
        size = (truth[:, 2:] - truth[:, :2]).clamp(min=4).repeat(1, 2)
        box_loss = box_loss + 0.3 * functional.smooth_l1_loss(ours / size, truth / size, reduction="sum", beta=0.1) / count
        one_hot = functional.one_hot(labels, len(CLASSES)).float()
        class_loss = functional.binary_cross_entropy_with_logits(mine[:, 5:], one_hot, reduction="sum") / count
        with torch.no_grad():
            wanted_objectness[pictures, rows] = overlap(ours, truth).clamp(0.2, 1).detach()
            weight[pictures, rows] = 1
    logits = raw[..., 4]
    objectness = functional.binary_cross_entropy_with_logits(logits, wanted_objectness, reduction="none")
    # Of the easy background only what is still taken for an object teaches anything.
    with torch.no_grad():
        probability = logits.sigmoid()
        focus = torch.where(wanted_objectness > 0, torch.ones_like(logits), 0.25 + 0.75 * probability)
    objectness = (objectness * weight * focus).sum() / count
    loss = 3 * box_loss + objectness + class_loss
    return loss, {"box": box_loss.item(), "object": objectness.item(), "class": class_loss.item(), "cells": count}


FAR_M = 250.0


def depth_loss(log_m, sky, on_ground, lies, near_log_m, truth, shows, truly_lies):
    """From the net log depth, sky logits, logits of seeing the ground, [B, h, w] each, how the ground lies [B, 3], and
    log depth seen from nearby [B, h / 8, w / 8]; then depth in metres, infinite in the sky, 0 where unknown, where the ground
    shows [B, h, w], and how it truly lies [B, 3]."""
    known = (truth > 0.2) & torch.isfinite(truth)
    far = ~torch.isfinite(truth)
    wanted = truth.clamp(0.2, FAR_M).log().nan_to_num()
    wanted = torch.where(known, wanted, torch.zeros_like(wanted))
    mask = known.float()
    pixels = mask.sum((1, 2)).clamp(min=1)
    error = (log_m - wanted) * mask
    magnitude = error.abs()
    absolute = magnitude.sum((1, 2)) / pixels
    # The common scale of a picture counts again: it is what is hardest to see, and what objects are measured by.
    scale = (error.sum((1, 2)) / pixels).abs()
    edges = 0.0
    for step in (1, 4):
        across = (error[:, :, step:] - error[:, :, :-step]).abs() * mask[:, :, step:] * mask[:, :, :-step]
        down = (error[:, step:] - error[:, :-step]).abs() * mask[:, step:] * mask[:, :-step]
        edges = edges + across.sum((1, 2)) / pixels + down.sum((1, 2)) / pixels
    sky_loss = functional.binary_cross_entropy_with_logits(sky, far.float(), reduction="none")
    sky_loss = (sky_loss * (known | far)).mean()
    present = (mask.sum((1, 2)) > 100).float()
    share = present.sum().clamp(min=1)
    absolute, scale, edges = ((part * present).sum() / share for part in (absolute, scale, edges))
    # Pictures in which no ground was found say nothing about it.
    found = shows.any(2).any(1).float()
    flat = shows.float()
    apart = functional.smooth_l1_loss(lies, truly_lies.clamp(-4, 4), reduction="none", beta=0.05)
    # A camera that looks far down has its horizon far off: there a share of it is as good.
    apart = apart * torch.stack([1 / (1 + truly_lies[:, 0].abs()), *torch.ones(2, len(apart))], 1)
    plane = ((apart * torch.tensor([2.0, 0.5, 1.0])).sum(1) * found).sum() / found.sum().clamp(min=1)
    height = ((lies[:, 2] - truly_lies[:, 2]).abs() * found).sum() / found.sum().clamp(min=1)
    horizon = ((lies[:, 0] - truly_lies[:, 0]).abs() * found).sum() / found.sum().clamp(min=1)
    gate = functional.binary_cross_entropy_with_logits(on_ground, flat, reduction="none")
    gate = (gate.mean((1, 2)) * found).sum() / found.sum().clamp(min=1)
    middle = slice(4, None, 8)
    clear = mask[:, middle, middle]
    near = ((near_log_m - wanted[:, middle, middle]).abs() * clear).sum() / clear.sum().clamp(min=1)
    loss = absolute + 0.3 * scale + 0.25 * edges + 0.2 * sky_loss + plane + 0.2 * gate + 0.5 * near
    parts = {"log": absolute, "scale": scale, "edges": edges, "sky": sky_loss, "plane": plane, "gate": gate}
    parts |= {"horizon": horizon, "spacing": height, "near": near}
    return loss, {name: part.item() for name, part in parts.items()}
