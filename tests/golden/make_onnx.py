#!/usr/bin/env python3
"""Writes tests/data/onnx: tiny networks that obey each contract of docs/models.md, and what they should find.

Each network probes its input: it copies mean colours of parts of the tensor, padding included, into scores, boxes or
depths, so that an error of colour order, range, normalisation, padding or scale shows in the result. The expected results
are computed here from the contract's definition with numpy, not with the code under test.

    pip install onnx numpy && python3 tests/golden/make_onnx.py
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

OUT = Path(__file__).resolve().parent.parent / "data" / "onnx"
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_STD = np.array([0.229, 0.224, 0.225])
# The picture of every detector fixture: one colour, twice as wide as high.
PICTURE = (128, 64)
COLOR = (200, 100, 50)
SIDE = 64
PAD = 114


class Graph:
    def __init__(self):
        self.nodes, self.initializers, self.inputs, self.outputs = [], [], [], []

    def const(self, value, dtype=np.float32):
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def op(self, kind, *inputs, out=None, **attributes):
        out = out or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def input(self, name, shape, dtype=T.FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name, shape, dtype=T.FLOAT):
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def probe(self, tensor, channel, rows, columns, gain=1.0, layout="nchw"):
        """Mean of one channel over a rectangle, times gain, shape [1]."""
        axes = (1, 2, 3) if layout == "nchw" else (3, 1, 2)
        starts = self.const([channel, rows[0], columns[0]], np.int64)
        ends = self.const([channel + 1, rows[1], columns[1]], np.int64)
        part = self.op("Slice", tensor, starts, ends, self.const(axes, np.int64))
        mean = self.op("ReduceMean", part, keepdims=0)
        return self.op("Reshape", self.op("Mul", mean, self.const(gain)), self.const([1], np.int64))

    def scatter(self, shape, values, probes=(), out=None, background=0.0):
        """A tensor of the given shape: background, then values {index: number}, then probes {index: tensor of [1]}."""
        fill = numpy_helper.from_array(np.array([background], np.float32))
        tensor = self.op("ConstantOfShape", self.const(shape, np.int64), value=fill)
        indices = list(values) + list(dict(probes))
        updates = self.const(list(values.values()))
        if probes:
            updates = self.op("Concat", updates, *dict(probes).values(), axis=0)
        return self.op("ScatterND", tensor, self.const(indices, np.int64), updates, out=out)

    def save(self, name, metadata=None):
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="kinestream-tests")
        model.ir_version = 9
        for key, value in (metadata or {}).items():
            model.metadata_props.add(key=key, value=value)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, OUT / f"{name}.onnx")


def cells(side=SIDE, strides=(8, 16, 32)):
    return [(x, y, s) for s in strides for y in range(side // s) for x in range(side // s)]


def to_picture(box, padding):
    """From pixels of the 64×64 input to pixels of the 128×64 picture."""
    scale = {"stretch": (0.5, 1.0)}.get(padding, (0.5, 0.5))
    top = 16 if padding == "centre" else 0
    x0, y0, x1, y1 = box
    return [x0 / scale[0], (y0 - top) / scale[1], x1 / scale[0], (y1 - top) / scale[1]]


def expected(padding, found):
    """found: (box in input pixels, class index, confidence), most confident first after sorting."""
    width, height = PICTURE
    detections = []
    for box, label, confidence in sorted(found, key=lambda item: -item[2]):
        x0, y0, x1, y1 = to_picture(box, padding)
        box = [max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)]
        detections.append({"box": [round(float(v), 5) for v in box], "class": label, "confidence": round(float(confidence), 6)})
    return detections


def probes_of(padding):
    """Rectangles (rows, columns) of the input: inside the picture, and inside the padding where there is one."""
    inside = {"top-left": (4, 28), "centre": (20, 44), "stretch": (4, 60)}[padding]
    outside = {"top-left": (36, 60), "centre": (2, 14)}.get(padding)
    return (inside, (4, 60)), (outside, (4, 60)) if outside else None


def yolox(name="yolox", broken=()):
    """BGR 0-255, top-left; class i at anchor i carries channel i, a fourth anchor carries the padding."""
    graph = Graph()
    images = graph.input("images", [1, 3, SIDE, SIDE])
    grid = cells()
    inside, outside = probes_of("top-left")
    values, probes, found = {}, {}, []
    anchors = [9, 70, 81, 30]  # two on stride 8, one each on 16 and 32
    raw = [(0.25, 0.5, 0.6, 0.4), (-0.3, 0.1, 0.2, 0.1), (0.2, 0.4, -0.5, -0.7), (0.5, 0.5, 0.9, 0.3)]
    channels = [(0, inside), (1, inside), (2, inside), (1, outside)]
    for row, (anchor, p, (channel, part)) in enumerate(zip(anchors, raw, channels)):
        objectness = 0.95
        label = row % 3
        for column, value in enumerate([*p, objectness]):
            values[(0, anchor, column)] = value
        probes[(0, anchor, 5 + label)] = graph.probe(images, channel, *part, gain=1 / 255)
        x, y, s = grid[anchor]
        cx, cy, w, h = (p[0] + x) * s, (p[1] + y) * s, np.exp(p[2]) * s, np.exp(p[3]) * s
        value = [COLOR[2], COLOR[1], COLOR[0], PAD][row] / 255
        found.append(((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), label, objectness * value))
    # The anchor beside the first sees the same object less surely: suppressed.
    for column, value in enumerate([raw[0][0] - 1, *raw[0][1:], 0.9, 0.17]):
        values[(0, anchors[0] + 1, column)] = value
    for anchor, column, value in broken:
        values[(0, anchor, column)] = value
        values.setdefault((0, anchor, 4), 0.9)
        values.setdefault((0, anchor, 5), 0.9)
    graph.scatter([1, len(grid), 8], values, probes, out="output")
    graph.output("output", [1, len(grid), 8])
    graph.save(name)
    return {"padding": "top-left", "confidence": 0.1, "detections": expected("top-left", found)}


def yolov8(name="yolov8", element=T.FLOAT, layout="nchw"):
    """RGB 0-1, centred; class names in the metadata as Ultralytics writes them."""
    graph = Graph()
    dtype = {T.FLOAT: np.float32, T.FLOAT16: np.float16, T.UINT8: np.uint8}[element]
    shape = [1, 3, SIDE, SIDE] if layout == "nchw" else [1, SIDE, SIDE, 3]
    images = graph.input("images", shape, element)
    if dtype != np.float32:
        images = graph.op("Cast", images, to=T.FLOAT)
    unit = 1 / 255 if element == T.UINT8 else 1.0
    inside, outside = probes_of("centre")
    boxes = [(20, 30, 12, 14), (40, 24, 8, 10), (48, 40, 20, 10), (12, 22, 9, 8)]
    anchors = [3, 66, 83, 50]
    values, probes, found = {}, {}, []
    channels = [(0, inside), (1, inside), (2, inside), (2, outside)]
    for row, (anchor, box, (channel, part)) in enumerate(zip(anchors, boxes, channels)):
        label = row % 3
        for index, value in enumerate(box):
            values[(0, index, anchor)] = value
        probes[(0, 4 + label, anchor)] = graph.probe(images, channel, *part, gain=unit, layout=layout)
        cx, cy, w, h = box
        value = [*COLOR, PAD][row] / 255
        found.append(((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), label, value))
    graph.scatter([1, 7, len(cells())], values, probes, out="output0")
    graph.output("output0", [1, 7, len(cells())])
    graph.save(name, {"names": "{0: 'car', 1: 'person', 2: \"driver's cab\"}"})
    return {"padding": "centre", "confidence": 0.1, "detections": expected("centre", found)}


def end_to_end():
    graph = Graph()
    images = graph.input("images", [1, 3, SIDE, SIDE])
    inside, outside = probes_of("centre")
    values, probes, found = {}, {}, []
    # The second and third overlap: an end-to-end network means both.
    boxes = [(4, 20, 30, 40), (30, 22, 50, 44), (31, 22, 51, 44), (2, 18, 9, 30)]
    labels = [2, 7, 7, 0]
    channels = [(0, inside), (1, inside), (2, inside), (0, outside)]
    for row, (box, label, (channel, part)) in enumerate(zip(boxes, labels, channels)):
        for column, value in enumerate(box):
            values[(0, row, column)] = value
        values[(0, row, 5)] = label
        probes[(0, row, 4)] = graph.probe(images, channel, *part)
        found.append((box, label, [*COLOR, PAD][row] / 255))
    graph.scatter([1, 300, 6], values, probes, out="output0")
    graph.output("output0", [1, 300, 6])
    graph.save("end_to_end")
    return {"padding": "centre", "confidence": 0.1, "detections": expected("centre", found)}


def detr():
    """Boxes come relative and are scaled by orig_target_sizes (width, height)."""
    graph = Graph()
    images = graph.input("images", ["N", 3, SIDE, SIDE])
    sizes = graph.input("orig_target_sizes", ["N", 2], T.INT64)
    inside, _ = probes_of("stretch")
    relative = np.array([[0.1, 0.2, 0.4, 0.6], [0.5, 0.1, 0.9, 0.3], [0.2, 0.7, 0.3, 0.95]], np.float32)
    labels = [0, 2, 7]
    scale = graph.op("Concat", *[graph.op("Cast", sizes, to=T.FLOAT)] * 2, axis=1)
    scale = graph.op("Reshape", scale, graph.const([-1, 1, 4], np.int64))
    graph.op("Mul", graph.const(relative[None]), scale, out="boxes")
    scores = graph.op("Concat", *[graph.probe(images, channel, *inside) for channel in range(3)], axis=0)
    graph.op("Reshape", scores, graph.const([1, 3], np.int64), out="scores")
    graph.op("Identity", graph.const([labels], np.int64), out="labels")
    graph.output("labels", ["N", 3], T.INT64)
    graph.output("boxes", ["N", 3, 4])
    graph.output("scores", ["N", 3])
    graph.save("detr")
    found = [(row * SIDE, label, value / 255) for row, label, value in zip(relative, labels, COLOR)]
    return {"padding": "stretch", "confidence": 0.1, "detections": expected("stretch", found)}


def nanodet():
    """BGR, ImageNet mean and deviation in bytes, centred on black; scores are affine in the normalised colours."""
    graph = Graph()
    image = graph.input("input.1", [1, 3, SIDE, SIDE])
    inside, outside = probes_of("centre")
    rng = np.random.default_rng(7)
    found = []
    for level, stride in enumerate((8, 16, 32)):
        side = SIDE // stride
        cell = [18, 5, 2][level]
        channel = level  # of the tensor: blue, green, red
        part = outside if level == 2 else inside
        # value/255 = (normalised · std + mean) / 255
        color = 2 - channel
        gain, bias = IMAGENET_STD[color], IMAGENET_MEAN[color]
        score = graph.op("Add", graph.probe(image, channel, *part, gain=gain), graph.const([bias]))
        background = 0.0
        probes = {(0, cell, level): score}
        graph.scatter([1, side * side, 3], {(0, 0, 0): 0.01}, probes, out=f"cls_pred_stride_{stride}", background=background)
        logits = rng.normal(0, 2, (4, 8)).astype(np.float32)
        values = {(0, cell, int(edge * 8 + bin_)): float(logits[edge, bin_]) for edge in range(4) for bin_ in range(8)}
        graph.scatter([1, side * side, 32], values, out=f"dis_pred_stride_{stride}")
        weights = np.exp(logits - logits.max(1, keepdims=True))
        distance = (weights * np.arange(8)).sum(1) / weights.sum(1) * stride
        x, y = (cell % side + 0.5) * stride, (cell // side + 0.5) * stride
        value = [COLOR[2], COLOR[1], 0][level] / 255
        found.append(((x - distance[0], y - distance[1], x + distance[2], y + distance[3]), level, value))
        graph.output(f"cls_pred_stride_{stride}", [1, side * side, 3])
        graph.output(f"dis_pred_stride_{stride}", [1, side * side, 32])
    graph.save("nanodet")
    found = [item for item in found if item[2] >= 0.1]
    return {"padding": "centre", "confidence": 0.1, "detections": expected("centre", found)}


def crowd():
    """10,164 anchors, each a confident detection that overlaps no other."""
    side = 704
    count = len(cells(side))
    graph = Graph()
    graph.input("images", [1, 3, side, side])
    index = graph.op("Range", graph.const(0), graph.const(float(count)), graph.const(1.0))
    row = graph.op("Floor", graph.op("Div", index, graph.const(101.0)))
    column = graph.op("Sub", index, graph.op("Mul", row, graph.const(101.0)))
    cx = graph.op("Add", graph.op("Mul", column, graph.const(6.9)), graph.const(4.0))
    cy = graph.op("Add", graph.op("Mul", row, graph.const(6.8)), graph.const(4.0))
    size = graph.op("Expand", graph.const([5.0]), graph.const([count], np.int64))
    # Scores fall slowly, so that which ones are kept is known.
    score = graph.op("Sub", graph.const(0.95), graph.op("Mul", index, graph.const(4e-5)))
    rows = [graph.op("Unsqueeze", part, graph.const([0], np.int64)) for part in (cx, cy, size, size, score)]
    stacked = graph.op("Concat", *rows, axis=0)
    graph.op("Unsqueeze", stacked, graph.const([0], np.int64), out="output0")
    graph.output("output0", [1, 5, count])
    graph.save("crowd")
    return {"anchors": count}


def wrong_shape():
    """Looks like YOLOX by name, but its rows are too few for its grid."""
    graph = Graph()
    graph.input("images", [1, 3, SIDE, SIDE])
    graph.scatter([1, 80, 8], {(0, 0, 0): 1.0}, out="output")
    graph.output("output", ["batch", "anchors", 8])
    graph.save("wrong_shape")


def unknown():
    graph = Graph()
    tensor = graph.input("tokens", [1, 16])
    graph.op("Relu", tensor, out="logits")
    graph.output("logits", [1, 16])
    graph.save("unknown")


# Depth: every cell is a weighted sum of the colours that the network is fed, so the map shows pre-processing cell by cell.
WEIGHTS = np.array([0.02, 0.03, 0.05])


def weighted(graph, image, mean, std, gain=1.0, out=None):
    """Weighted colours, 0 to 255 each, from a tensor normalised with mean and std (in bytes)."""
    weight = (WEIGHTS * std * gain).reshape(1, 3, 1, 1)
    bias = float((WEIGHTS * mean).sum() * gain)
    return graph.op("Conv", image, graph.const(weight), graph.const([bias]), out=out)


def depth_models():
    bytes_mean, bytes_std = IMAGENET_MEAN * 255, IMAGENET_STD * 255
    zeros, ones = np.zeros(3), np.ones(3)

    graph = Graph()
    image = graph.input("image", [1, 3, 616, 1064])
    weighted(graph, image, zeros, ones, out="pred_depth")
    graph.output("pred_depth", [1, 1, 616, 1064])
    graph.save("metric3d")

    graph = Graph()
    image = graph.input("pixel_values", ["batch", 3, "height", "width"])
    weighted(graph, image, bytes_mean, bytes_std, out="predicted_depth")
    graph.op("Identity", image, out="predicted_normal")
    graph.op("ReduceMean", image, axes=[1], out="normal_confidence")
    graph.output("predicted_depth", ["batch", 1, "height", "width"])
    graph.output("predicted_normal", ["batch", 3, "height", "width"])
    graph.output("normal_confidence", ["batch", 1, "height", "width"])
    graph.save("metric3d_community")

    # Sky is where blue exceeds red: the normalised blue minus red, through a step.
    for name, low in (("depth_anything_3", False), ("depth_anything_3_low", True)):
        graph = Graph()
        image = graph.input("image", [1, 3, 280, 504])
        weighted(graph, image, bytes_mean, bytes_std, out="depth")
        difference = np.array([-1, 0, 1]) * IMAGENET_STD
        bias = float(IMAGENET_MEAN[2] - IMAGENET_MEAN[0])
        blue = graph.op("Conv", image, graph.const(difference.reshape(1, 3, 1, 1)), graph.const([bias]))
        sky = graph.op("Clip", graph.op("Mul", blue, graph.const(20.0)), graph.const(0.0), graph.const(1.0))
        if low:
            sky = graph.op("Sub", graph.const(1.0), sky)
        graph.op("Identity", sky, out="sky")
        graph.output("depth", [1, 1, 280, 504])
        graph.output("sky", [1, 1, 280, 504])
        graph.save(name)

    graph = Graph()
    image = graph.input("image", [1, 3, 518, 518])
    depth = weighted(graph, image, bytes_mean, bytes_std)
    graph.op("Squeeze", depth, graph.const([1], np.int64), out="depth")
    graph.output("depth", [1, 518, 518])
    graph.save("depth_anything_2")

    for name, with_camera in (("unidepth", False), ("unidepth_camera", True)):
        graph = Graph()
        image = graph.input("image", ["batch", 3, 462, 616])
        depth = weighted(graph, image, bytes_mean, bytes_std)
        if with_camera:
            # Depth times the focal length it is told, over 500.
            camera = graph.input("K", ["batch", 3, 3])
            focal = graph.op("Gather", graph.op("Gather", camera, graph.const(0, np.int64), axis=1), graph.const(0, np.int64), axis=1)
            focal = graph.op("Reshape", focal, graph.const([-1, 1, 1, 1], np.int64))
            depth = graph.op("Mul", depth, graph.op("Div", focal, graph.const(500.0)))
            graph.op("Identity", camera, out="out_K")
        else:
            graph.op("Identity", graph.const(np.eye(3)[None]), out="out_K")
        graph.op("Identity", depth, out="depth")
        graph.op("Identity", depth, out="depth_ssi")
        graph.op("Sigmoid", depth, out="confidence")
        graph.output("out_K", ["batch", 3, 3])
        for output in ("depth", "depth_ssi", "confidence"):
            graph.output(output, ["batch", 1, 462, 616])
        graph.save(name)

    # Disparity at half resolution, as some exports of the family have it: weighted colours 0 to 1.
    graph = Graph()
    image = graph.input("input", [1, 3, 192, 640])
    disparity = weighted(graph, image, zeros, ones)
    graph.op("AveragePool", disparity, kernel_shape=[2, 2], strides=[2, 2], out="disparity")
    graph.output("disparity", [1, 1, 96, 320])
    graph.save("disparity")

    # NaN where red is above 0.9, infinity where blue is.
    graph = Graph()
    image = graph.input("image", [1, 3, 518, 518])
    red = graph.op("Conv", image, graph.const((np.array([1, 0, 0]) * IMAGENET_STD).reshape(1, 3, 1, 1)), graph.const([0.485 - 0.9]))
    blue = graph.op("Conv", image, graph.const((np.array([0, 0, 1]) * IMAGENET_STD).reshape(1, 3, 1, 1)), graph.const([0.406 - 0.9]))
    bad = graph.op("Sqrt", graph.op("Neg", graph.op("Max", red, graph.const(0.0))))
    endless = graph.op("Exp", graph.op("Mul", graph.op("Max", blue, graph.const(0.0)), graph.const(1e5)))
    graph.op("Add", bad, endless, out="depth")
    graph.output("depth", [1, 1, 518, 518])
    graph.save("depth_nan")


def reid(batch, name):
    """Mean colours of the upper and the lower half."""
    graph = Graph()
    images = graph.input("images", [batch, 3, 256, 128])
    halves = graph.op("AveragePool", images, kernel_shape=[128, 128], strides=[128, 128])
    graph.op("Reshape", halves, graph.const([-1, 6], np.int64), out="output")
    graph.output("output", [batch, 6])
    graph.save(name)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    nan, inf = float("nan"), float("inf")
    golden = {
        "picture": PICTURE,
        "color": COLOR,
        "detectors": {
            "yolox": yolox(),
            # NaN as objectness, as a class score, and as a coordinate; infinity as a width.
            "yolox_nan": yolox("yolox_nan", [(20, 4, nan), (21, 6, nan), (22, 0, nan), (23, 2, inf)]),
            "yolov8": yolov8(),
            "yolov8_f16": yolov8("yolov8_f16", T.FLOAT16),
            "yolov8_bytes": yolov8("yolov8_bytes", T.UINT8, "nhwc"),
            "end_to_end": end_to_end(),
            "detr": detr(),
            "nanodet": nanodet(),
        },
        "crowd": crowd(),
    }
    wrong_shape()
    unknown()
    depth_models()
    reid(1, "reid")
    reid("batch", "reid_batch")
    (OUT / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")
    total = sum(path.stat().st_size for path in OUT.iterdir())
    print(f"{len(list(OUT.iterdir()))} files, {total / 1024:.0f} kB in {OUT}")


if __name__ == "__main__":
    main()
