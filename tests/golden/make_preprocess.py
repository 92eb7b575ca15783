#!/usr/bin/env python3
"""Writes tests/data/preprocess.{json,bin}: input tensors as pre-processing should make them.

The pictures follow a formula that the test repeats. Here they are converted at full resolution and then resampled with
explicit weight matrices in double precision, unlike the code under test, which resamples first and in one pass.

    pip install numpy && python3 tests/golden/make_preprocess.py
"""

import json
from pathlib import Path

import numpy as np

OUT = Path(__file__).resolve().parent.parent / "data"
MATRICES = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}


def plane(width, height, channel, low, span):
    """The formula of the test pictures: a ramp with noise, low to low + span − 1."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return low + (x * 3 + y * 2 + channel * 37 + (x * x * 7 + y * y * 5 + x * y) % 41) % span


def axis_matrix(full, origin, length, out, area_above=2.0):
    """Weights [out, full] of one axis: linear between centres, or the mean over the area when shrinking."""
    weights = np.zeros((out, full))
    step = length / out
    for index in range(out):
        if step > area_above:
            start, end = origin + index * step, origin + (index + 1) * step
            for sample in range(full):
                weights[index, sample] = max(0.0, min(end, sample + 1) - max(start, sample))
            weights[index] /= weights[index].sum()
        else:
            centre = np.clip(origin + (index + 0.5) * step - 0.5, 0, full - 1)
            low = int(np.floor(centre))
            share = centre - low
            weights[index, low] += 1 - share
            if share > 0:
                weights[index, low + 1] += share
    return weights


def sample(image, region, out):
    x, y, width, height = region
    rows = axis_matrix(image.shape[0], y, height, out[1])
    columns = axis_matrix(image.shape[1], x, width, out[0])
    return rows @ image @ columns.T


def chroma_sample(image, full, region, out):
    """Half-resolution samples: means over the replicated plane when shrinking, else linear at their own resolution."""
    x, y, width, height = region
    weights = []
    for extent, samples, origin, length, count in (
        (full[1], image.shape[0], y, height, out[1]),
        (full[0], image.shape[1], x, width, out[0]),
    ):
        if length / count > 2.0:
            matrix = axis_matrix(extent, origin, length, count)
            folded = np.zeros((count, samples))
            for index in range(extent):
                folded[:, index // 2] += matrix[:, index]
            weights.append(folded)
        else:
            weights.append(axis_matrix(samples, origin / 2, length / 2, count))
    return weights[0] @ image @ weights[1].T


def picture_rgb(case, out):
    """Resampled R, G, B, 0 to 255, before clamping."""
    width, height, fmt, region = case["width"], case["height"], case["format"], case["region"]
    if fmt in ("nv12", "i420"):
        chroma = (-(-width // 2), -(-height // 2))
        y = sample(plane(width, height, 0, 60, 120), region, out)
        u, v = (chroma_sample(plane(*chroma, c, 110, 36), (width, height), region, out) for c in (1, 2))
        kr, kb = MATRICES[case["matrix"]]
        if case["full_range"]:
            y, u, v = y, (u - 128), (v - 128)
        else:
            y, u, v = (y - 16) * 255 / 219, (u - 128) * 255 / 224, (v - 128) * 255 / 224
        r = y + 2 * (1 - kr) * v
        b = y + 2 * (1 - kb) * u
        g = (y - kr * r - kb * b) / (1 - kr - kb)
        return [r, g, b]
    if fmt == "gray8":
        return [sample(plane(width, height, 0, 0, 256), region, out)] * 3
    channels = [sample(plane(width, height, c, 0, 256), region, out) for c in range(3)]
    return channels if fmt.startswith("rgb") else channels[::-1]


def tensor(case):
    width, height = case["input"]
    _, _, region_width, region_height = case["region"]
    if case["padding"] == "stretch":
        content = (width, height)
    else:
        scale = min(width / region_width, height / region_height)
        content = tuple(max(1, int(np.floor(side * scale + 0.5))) for side in (region_width, region_height))
    left, top = ((width - content[0]) // 2, (height - content[1]) // 2) if case["padding"] == "centre" else (0, 0)
    result = np.empty((3, height, width))
    for channel, (color, pad) in enumerate(zip(picture_rgb(case, content), case["pad"])):
        result[channel] = pad
        result[channel, top : top + content[1], left : left + content[0]] = np.clip(color, 0, 255)
    if case["range"] == "0-1":
        result /= 255
    mean, std = (np.array(case[key]).reshape(3, 1, 1) for key in ("mean", "std"))
    result = (result - mean) / std
    if case["color"] == "bgr":
        result = result[::-1]
    return result.transpose(1, 2, 0) if case["layout"] == "nhwc" else result


def main():
    imagenet = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    base = {
        "matrix": "bt709", "full_range": False, "padding": "top-left", "pad": [114, 114, 114], "color": "rgb",
        "range": "0-1", "mean": [0, 0, 0], "std": [1, 1, 1], "layout": "nchw",
    }
    cases = [
        {"format": "nv12", "width": 160, "height": 90, "input": [32, 32], "color": "bgr", "range": "0-255"},
        {"format": "nv12", "width": 61, "height": 47, "input": [32, 32], "padding": "centre", **imagenet},
        {"format": "nv12", "width": 131, "height": 77, "region": [13, 9, 101, 55], "input": [24, 20], "matrix": "bt601"},
        {"format": "i420", "width": 100, "height": 51, "region": [7, 3, 40, 30], "input": [48, 24], "padding": "stretch",
         "matrix": "bt601", "full_range": True},
        {"format": "i420", "width": 90, "height": 200, "input": [20, 20], "padding": "centre", "full_range": True},
        {"format": "rgb", "width": 25, "height": 20, "input": [40, 40], "color": "bgr", "range": "0-255", "pad": [10, 20, 30]},
        {"format": "bgr", "width": 300, "height": 40, "input": [24, 24], "padding": "centre"},
        {"format": "bgrx", "width": 200, "height": 150, "region": [31, 17, 77, 90], "input": [16, 28], "padding": "stretch", **imagenet},
        {"format": "rgbx", "width": 64, "height": 64, "input": [32, 24], "layout": "nhwc", "range": "0-255"},
        {"format": "gray8", "width": 33, "height": 70, "input": [20, 20], "padding": "centre"},
        {"format": "rgb", "width": 1, "height": 1, "input": [8, 6], "range": "0-255"},
    ]
    cases = [{**base, **{"region": [0, 0, case["width"], case["height"]]}, **case} for case in cases]
    blob = b""
    for case in cases:
        values = tensor(case)
        case["offset"], case["len"] = len(blob) // 2, values.size
        blob += values.astype("<f2").tobytes()
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "preprocess.bin").write_bytes(blob)
    lines = ",\n".join(json.dumps(case) for case in cases)
    (OUT / "preprocess.json").write_text(f"[\n{lines}\n]\n")
    print(f"{len(cases)} cases, {len(blob) / 1024:.0f} kB")


if __name__ == "__main__":
    main()
