#!/usr/bin/env python3
"""Writes tests/data/yolox_nano.json: what YOLOX-nano finds in frames of the real videos, decoded here with numpy.

    pip install numpy onnxruntime && python3 tests/golden/make_yolox.py FOLDER_OF_REAL_DATA
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from make_preprocess import sample

OUT = Path(__file__).resolve().parent.parent / "data" / "yolox_nano.json"
FRAMES = [
    ("video/car-detection.mp4", 768, 432, 200),
    ("video/solidWhiteRight.mp4", 960, 540, 30),
    ("video/solidWhiteRight.mp4", 960, 540, 100),
]
SIDE = 416


def frame(path, width, height, index):
    """One frame as RGB, decoded by GStreamer."""
    launch = f"filesrc location={path} ! decodebin ! videoconvert ! video/x-raw,format=RGB ! fdsink"
    with subprocess.Popen(["gst-launch-1.0", "-q", *launch.split()], stdout=subprocess.PIPE) as process:
        size = width * height * 3
        process.stdout.read(size * index)
        data = process.stdout.read(size)
        process.kill()
    return np.frombuffer(data, np.uint8).reshape(height, width, 3).astype(float)


def detect(session, image):
    height, width = image.shape[:2]
    scale = min(SIDE / width, SIDE / height)
    content = (round(width * scale), round(height * scale))
    tensor = np.full((3, SIDE, SIDE), 114.0, np.float32)
    for channel in range(3):
        plane = sample(image[:, :, 2 - channel], (0, 0, width, height), content)
        tensor[channel, : content[1], : content[0]] = plane
    (output,) = session.run(None, {"images": tensor[None]})
    grid = [(x, y, s) for s in (8, 16, 32) for y in range(SIDE // s) for x in range(SIDE // s)]
    x, y, stride = np.array(grid, float).T
    rows = output[0].astype(float)
    centre = (rows[:, 0] + x) * stride, (rows[:, 1] + y) * stride
    size = np.exp(rows[:, 2]) * stride, np.exp(rows[:, 3]) * stride
    scores = rows[:, 4:5] * rows[:, 5:]
    label, score = scores.argmax(1), scores.max(1)
    boxes = np.stack([centre[0] - size[0] / 2, centre[1] - size[1] / 2, centre[0] + size[0] / 2, centre[1] + size[1] / 2], 1)
    boxes[:, 0::2] = (boxes[:, 0::2] * width / content[0]).clip(0, width)
    boxes[:, 1::2] = (boxes[:, 1::2] * height / content[1]).clip(0, height)
    kept = []
    for index in np.argsort(-score):
        if score[index] < 0.25:
            break
        if all(label[index] != label[other] or iou(boxes[index], boxes[other]) <= 0.45 for other in kept):
            kept.append(index)
    return [{"box": [round(float(v), 2) for v in boxes[i]], "class": int(label[i]), "confidence": round(float(score[i]), 4)} for i in kept]


def iou(a, b):
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    return shared / (area(a) + area(b) - shared)


def main():
    data = Path(sys.argv[1])
    session = onnxruntime.InferenceSession(str(data / "models/yolox_nano.onnx"), providers=["CPUExecutionProvider"])
    golden = []
    for path, width, height, index in FRAMES:
        found = detect(session, frame(data / path, width, height, index))
        golden.append({"video": path, "width": width, "height": height, "frame": index, "detections": found})
        print(path, index, len(found), [(d["class"], d["confidence"]) for d in found])
    lines = ",\n".join(json.dumps(entry) for entry in golden)
    OUT.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
