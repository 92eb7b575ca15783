"""Random crops, colours and compression: a training picture from a sample, laid into the net's input as the engine does."""

import math
import random

import cv2
import numpy as np

from detector_net import CLASSES
from pool import Sample, is_unseen

# Objects below these are neither objects nor background to the detector.
LEAST_VISIBLE, LEAST_SIDE_PX = 0.25, 8.0


def colours(picture: np.ndarray, rng: random.Random) -> np.ndarray:
    """Exposure, contrast, white balance, saturation, noise, blur, compression."""
    if rng.random() < 0.8:
        gain, lift, gamma = rng.uniform(0.75, 1.3), rng.uniform(-20, 20), math.exp(rng.uniform(-0.3, 0.3))
        table = np.empty((1, 256, 3), np.uint8)
        for channel in range(3):
            balance = gain * rng.uniform(0.92, 1.08)
            table[0, :, channel] = np.clip(255 * (np.arange(256) / 255) ** gamma * balance + lift, 0, 255)
        picture = cv2.LUT(picture, table)
    if rng.random() < 0.3:
        grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        share = rng.uniform(-0.4, 1.0) if rng.random() < 0.8 else 1.0
        picture = cv2.addWeighted(picture, 1 - share, grey, share, 0)
    if rng.random() < 0.2:
        picture = cv2.GaussianBlur(picture, (3, 3), rng.uniform(0.3, 1.2))
    if rng.random() < 0.15:
        noise = np.empty(picture.shape, np.int8)
        cv2.randn(noise, 0, rng.uniform(2, 10))
        picture = cv2.add(picture, noise, dtype=cv2.CV_8U)
    if rng.random() < 0.15:
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, rng.randint(30, 90)])
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return picture


def window(width: int, height: int, rng: random.Random, least: float, aspects: tuple[float, float]):
    """A random part of a picture: left, top, width, height in pixels; its width at least `least` of the picture's."""
    aspect = math.exp(rng.uniform(math.log(aspects[0]), math.log(aspects[1])))
    largest = min(width, height * aspect)
    w = largest * rng.uniform(least, 1.0)
    h = w / aspect
    return rng.uniform(0, width - w), rng.uniform(0, height - h), w, h


def warp(source: np.ndarray, part, size: tuple[int, int], scale: tuple[float, float], flip: bool, interpolation: int, fill):
    """Lays `part` of `source` into the top-left corner of a picture of `size`, `scale` output pixels a source pixel."""
    left, top, width, _ = part
    sx, sy = scale
    # Edges of pixels lie at half numbers.
    matrix = np.array([[sx, 0, (0.5 - left) * sx - 0.5], [0, sy, (0.5 - top) * sy - 0.5]])
    if flip:
        matrix[0] = [-sx, 0, (left + width - 0.5) * sx - 0.5]
    return cv2.warpAffine(source, matrix, size, flags=interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=fill)


def shrunk(source: np.ndarray, scale: float) -> tuple[np.ndarray, float]:
    """Halves a picture by averaging where it would otherwise be sampled too sparsely; also the factor."""
    if scale > 0.6:
        return source, 1.0
    return cv2.resize(source, (source.shape[1] // 2, source.shape[0] // 2), interpolation=cv2.INTER_AREA), 0.5


def for_detector(sample: Sample, rng: random.Random, size: tuple[int, int]):
    """Input [h, w, 3] blue first, boxes [n, 4], classes [n] and whether each is to be ignored [n]."""
    width, height = size
    picture = cv2.cvtColor(sample.rgb, cv2.COLOR_RGB2BGR)
    rows, columns = picture.shape[:2]
    if rng.random() < 0.3:
        part, r = (0.0, 0.0, float(columns), float(rows)), min(width / columns, height / rows)
    else:
        part = window(columns, rows, rng, 0.5, (1.2, 2.0))
        r = min(width / part[2], height / part[3])
        if rng.random() < 0.35:
            r *= rng.uniform(0.6, 1.0)
    flip = rng.random() < 0.5
    source, factor = shrunk(picture, r)
    scaled = tuple(value * factor for value in part)
    inner = min(width, round(part[2] * r)), min(height, round(part[3] * r))
    laid = warp(source, scaled, inner, (r / factor, r / factor), flip, cv2.INTER_LINEAR, 0)
    laid = colours(laid, rng)
    out = np.full((height, width, 3), 114, np.uint8)
    out[: inner[1], : inner[0]] = laid

    boxes, classes, ignored = [], [], []
    for actor in sample.header["actors"]:
        x0, y0, x1, y1 = actor["bbox"]
        if flip:
            x0, x1 = part[0] + part[2] - x1, part[0] + part[2] - x0
            x0, x1 = x0 * r, x1 * r
        else:
            x0, x1 = (x0 - part[0]) * r, (x1 - part[0]) * r
        y0, y1 = (y0 - part[1]) * r, (y1 - part[1]) * r
        area = max(x1 - x0, 1e-3) * max(y1 - y0, 1e-3)
        x0, x1 = max(x0, 0.0), min(x1, float(inner[0]))
        y0, y1 = max(y0, 0.0), min(y1, float(inner[1]))
        if x1 - x0 < 2 or y1 - y0 < 2:
            continue
        kept = (x1 - x0) * (y1 - y0) / area
        boxes.append((x0, y0, x1, y1))
        classes.append(CLASSES.index(actor["class"]))
        small = max(x1 - x0, y1 - y0) < LEAST_SIDE_PX
        ignored.append(small or actor["visible"] < LEAST_VISIBLE or kept < LEAST_VISIBLE)
    return (
        out,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(classes, np.int64),
        np.array(ignored, bool),
    )


def ground(depth: np.ndarray, intrinsics: np.ndarray, height_m: float, rng: random.Random):
    """Where the ground shows [h, w], and how it lies as the depth net says it [3]: the plane at the camera's known height
    that most pixels lie on; nowhere when there is none."""
    rows, columns = depth.shape
    nothing = np.zeros(depth.shape, bool), np.zeros(3, np.float32)
    known = np.isfinite(depth) & (depth > 0.2) & (depth < 100)
    places = np.flatnonzero(known)
    if len(places) < 2000:
        return nothing
    across = ((np.arange(columns) - intrinsics[0, 2]) / intrinsics[0, 0]).astype(np.float32)
    down = ((np.arange(rows) - intrinsics[1, 2]) / intrinsics[1, 1]).astype(np.float32)
    generator = np.random.default_rng(rng.getrandbits(32))
    drawn = generator.choice(places, 500)
    rays = np.stack([across[drawn % columns], down[drawn // columns], np.ones(len(drawn), np.float32)], 1)
    inverse = 1 / depth.reshape(-1)[drawn]
    triples = generator.integers(0, len(drawn), (80, 3))
    matrices = rays[triples]
    regular = np.abs(np.linalg.det(matrices)) > 1e-4
    if not regular.any():
        return nothing
    planes = np.linalg.solve(matrices[regular], inverse[triples[regular]][..., None])[..., 0]
    heights = 1 / np.maximum(np.linalg.norm(planes, axis=1), 1e-6)
    # The ground lies below.
    planes = planes[(np.abs(heights / height_m - 1) < 0.06) & (planes[:, 1] > 0)]
    if not len(planes):
        return nothing
    close = np.abs(planes @ rays.T / inverse - 1) < 0.03
    best = close[close.sum(1).argmax()]
    if best.mean() < 0.1:
        return nothing
    weights = 1 / inverse[best]
    plane = np.linalg.lstsq(rays[best] * weights[:, None], inverse[best] * weights, rcond=None)[0].astype(np.float32)
    expected = across[None] * plane[0] + (down * plane[1] + plane[2])[:, None]
    shown = known & (np.abs(expected * np.where(known, depth, 0) - 1) < 0.03)
    # The same plane in pixels: what a row and a column add to the inverse depth.
    a_row, a_column = plane[1] / intrinsics[1, 1], plane[0] / intrinsics[0, 0]
    if a_row < 1e-6:
        return nothing
    slope = -a_column / a_row
    first = plane[2] - plane[1] * intrinsics[1, 2] / intrinsics[1, 1] - plane[0] * intrinsics[0, 2] / intrinsics[0, 0]
    middle = (columns - 1) / 2
    horizon = (-first / a_row + slope * middle + 0.5) / rows
    return shown, np.array([horizon, slope, -np.log(plane[1])], np.float32)


def for_depth(sample: Sample, rng: random.Random, size: tuple[int, int]):
    """Input [h, w, 3] red first, intrinsics [3, 3] in its pixels, depth [h, w] in metres (infinite in the sky), and
    what `ground` says."""
    width, height = size
    picture = sample.rgb
    rows, columns = picture.shape[:2]
    fx, fy, cx, cy = (sample.header[key] for key in ("fx", "fy", "cx", "cy"))
    part = (0.0, 0.0, float(columns), float(rows))
    if rng.random() < 0.75:
        for _ in range(20):
            drawn = window(columns, rows, rng, 0.55, (1.25, 2.1))
            if not is_unseen(drawn[2], fx):
                part = drawn
                break
    flip = rng.random() < 0.5
    sx, sy = width / part[2], height / part[3]
    source, factor = shrunk(picture, min(sx, sy))
    laid = warp(source, tuple(v * factor for v in part), size, (sx / factor, sy / factor), flip, cv2.INTER_LINEAR, 0)
    laid = colours(laid, rng)
    ratio = sample.depth.shape[1] / columns
    depth = sample.depth.astype(np.float32)
    depth = warp(depth, tuple(v * ratio for v in part), size, (sx / ratio, sy / ratio), flip, cv2.INTER_NEAREST, 0)
    cx, cy = (cx + 0.5 - part[0]) * sx - 0.5, (cy + 0.5 - part[1]) * sy - 0.5
    if flip:
        cx = width - 1 - cx
    intrinsics = np.array([[fx * sx, 0, cx], [0, fy * sy, cy], [0, 0, 1]], np.float32)
    return laid, intrinsics, depth, *ground(depth, intrinsics, sample.header["height_m"], rng)
