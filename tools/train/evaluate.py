"""Scores the exported default models on held-out worlds, through ONNX Runtime: `evaluate.py --binary KINESTREAM`.

Detector: AP at IoU 0.5 (all points), recall and precision at the engine's confidence, on objects at least 24 px high and
at least half visible; other objects, and boxes below 24 px that match nothing, count neither as missed nor as false. Depth: AbsRel and delta1 on every pixel of the
full-size truth up to 150 m that is not sky. Seeds from 100000 on never appear in training, nor does the field of view of
the "unseen" row.
"""

import argparse
import json
import os
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from pool import UNSEEN_FOV_DEG, is_unseen, samples

CLASSES = ["person", "bicycle", "car", "motorcycle", "bus", "truck", "sports ball"]
STRIDES = (8, 16, 32)
SCENES = ["street-fixed", "street-drive", "plaza", "court", "parking"]
LEAST_HIGH_PX, LEAST_VISIBLE = 24, 0.5
MOST_M = 150.0


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes [n, 4] and [m, 4]."""
    wh = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    inner = wh.clip(0).prod(-1)
    area = lambda boxes: (boxes[:, 2:] - boxes[:, :2]).prod(-1)  # noqa: E731
    return inner / np.maximum(area(a)[:, None] + area(b)[None] - inner, 1e-9)


class Detector:
    """A YOLOX net as the engine runs it: letterbox to the top left, best class of each cell, suppression class by class."""

    def __init__(self, path: Path, nms_iou: float = 0.35):
        self.session, self.nms_iou = session(path), nms_iou
        self.name = self.session.get_inputs()[0].name
        self.height, self.width = self.session.get_inputs()[0].shape[2:]
        cells, strides = [], []
        for stride in STRIDES:
            rows, columns = np.mgrid[: self.height // stride, : self.width // stride]
            cells.append(np.stack([columns, rows], -1).reshape(-1, 2))
            strides.append(np.full((len(cells[-1]), 1), stride))
        self.cells, self.strides = np.concatenate(cells), np.concatenate(strides)

    def __call__(self, bgr: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes [n, 4] in pixels of the picture, confidences [n], classes [n]."""
        rows, columns = bgr.shape[:2]
        r = min(self.width / columns, self.height / rows)
        size = round(columns * r), round(rows * r)
        laid = np.full((self.height, self.width, 3), 114, np.uint8)
        shrinking = cv2.INTER_AREA if r < 0.5 else cv2.INTER_LINEAR
        laid[: size[1], : size[0]] = bgr if size == (columns, rows) else cv2.resize(bgr, size, interpolation=shrinking)
        raw = self.session.run(None, {self.name: laid.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
        score = raw[:, 4:5] * raw[:, 5:]
        classes = score.argmax(1)
        score = score.max(1)
        keep = np.flatnonzero(score >= confidence)
        keep = keep[np.argsort(-score[keep])][:3000]
        centre = (raw[keep, :2] + self.cells[keep]) * self.strides[keep]
        half = np.exp(raw[keep, 2:4]) * self.strides[keep] / 2
        boxes = np.concatenate([centre - half, centre + half], 1) / r
        boxes = boxes.clip(0, [columns, rows, columns, rows])
        score, classes = score[keep], classes[keep]
        again = overlaps(boxes, boxes) > self.nms_iou
        again &= classes[:, None] == classes[None]
        alive = np.ones(len(boxes), bool)
        for index in range(len(boxes)):
            if alive[index]:
                alive[index + 1 :] &= ~again[index, index + 1 :]
        return boxes[alive], score[alive], classes[alive]


class Tally:
    """Matches of one class in one group of pictures."""

    def __init__(self):
        self.objects, self.found, self.scores, self.hits = 0, 0, [], []

    def add(self, boxes, scores, truth, easy, confidence):
        """`boxes` sorted by confidence; `easy` tells which of `truth` count."""
        self.objects += int(easy.sum())
        iou = overlaps(boxes, truth) if len(truth) else np.zeros((len(boxes), 0))
        free = np.ones(len(truth), bool)
        for index in range(len(boxes)):
            row = np.where(free, iou[index], 0) if len(truth) else np.zeros(0)
            # An object that counts is preferred to one that does not.
            best = max(range(len(truth)), key=lambda g: (row[g] >= 0.5 and easy[g], row[g]), default=None)
            if best is not None and row[best] >= 0.5:
                free[best] = False
                if not easy[best]:
                    continue
                self.found += scores[index] >= confidence
                self.hits.append(True)
            else:
                # Part of an object that does not count is not false either.
                inner = np.minimum(boxes[index, 2:], truth[:, 2:]) - np.maximum(boxes[index, :2], truth[:, :2])
                area = max((boxes[index, 2:] - boxes[index, :2]).prod(), 1e-9)
                if ((inner.clip(0).prod(1) / area > 0.5) & ~easy).any():
                    continue
                # Nor, as in COCO's ranges of size, what is smaller than the objects that count.
                if boxes[index, 3] - boxes[index, 1] < LEAST_HIGH_PX:
                    continue
                self.hits.append(False)
            self.scores.append(scores[index])

    def summary(self, confidence: float) -> dict:
        order = np.argsort(-np.array(self.scores)) if self.scores else np.zeros(0, int)
        hits, scores = np.array(self.hits, bool)[order], np.array(self.scores)[order]
        recall = np.cumsum(hits) / max(1, self.objects)
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        ap = float(np.sum(np.diff(np.concatenate([[0], recall])) * precision))
        sure = hits[scores >= confidence]
        return {
            "objects": self.objects,
            "ap50": round(ap, 4),
            "recall": round(self.found / max(1, self.objects), 4),
            "precision": round(float(sure.mean()), 4) if len(sure) else None,
        }


class DetectorScore:
    def __init__(self, detector: Detector, confidence: float):
        self.detector, self.confidence = detector, confidence
        self.tallies = {(kind, name): Tally() for kind in ("class",) for name in CLASSES}
        self.any = Tally()

    def add(self, sample) -> None:
        boxes, scores, classes = self.detector(np.ascontiguousarray(sample.rgb[:, :, ::-1]), 0.02)
        actors = [actor for actor in sample.header["actors"] if actor["visible"] > 0]
        truth = np.array([actor["bbox"] for actor in actors], float).reshape(-1, 4)
        high = truth[:, 3] - truth[:, 1] >= LEAST_HIGH_PX
        easy = high & np.array([actor["visible"] >= LEAST_VISIBLE for actor in actors], bool)
        labels = np.array([CLASSES.index(actor["class"]) for actor in actors], int)
        for index, name in enumerate(CLASSES):
            ours, theirs = classes == index, labels == index
            # Objects of other classes count neither way only where they are hard to tell.
            others = ~theirs & ~easy
            known = theirs | others
            self.tallies["class", name].add(boxes[ours], scores[ours], truth[known], (easy & theirs)[known], self.confidence)

        self.any.add(boxes, scores, truth, easy, self.confidence)

    def summary(self) -> dict:
        classes = {name: tally.summary(self.confidence) for (_, name), tally in self.tallies.items() if tally.objects >= 20}
        pooled = [classes[name]["ap50"] for name in classes]
        objects = sum(tally.objects for tally in self.tallies.values())
        found = sum(int(tally.found) for tally in self.tallies.values())
        return {
            "map50": round(float(np.mean(pooled)), 4) if pooled else None,
            "recall": round(found / max(1, objects), 4),
            "any_class": self.any.summary(self.confidence),
            "classes": classes,
        }


class DepthScore:
    """AbsRel and delta1 as means over pictures."""

    def __init__(self, net: onnxruntime.InferenceSession):
        self.session, self.rows = net, []

    def add(self, sample) -> None:
        header, (rows, columns) = sample.header, sample.rgb.shape[:2]
        height, width = self.session.get_inputs()[0].shape[2:]
        small = cv2.resize(sample.rgb, (width, height), interpolation=cv2.INTER_LINEAR)
        sx, sy = width / columns, height / rows
        k = [[header["fx"] * sx, 0, (header["cx"] + 0.5) * sx - 0.5], [0, header["fy"] * sy, (header["cy"] + 0.5) * sy - 0.5]]
        k = np.array([[*k, [0, 0, 1]]], np.float32)
        image = small.transpose(2, 0, 1)[None].astype(np.float32) / 255
        depth, sky = self.session.run(["depth", "sky"], {"image": image, "K": k})
        depth = cv2.resize(depth[0, 0], (columns, rows), interpolation=cv2.INTER_NEAREST)
        sky = cv2.resize(sky[0, 0], (columns, rows), interpolation=cv2.INTER_NEAREST) >= 0.5
        truth = sample.depth.astype(np.float32)
        known = np.isfinite(truth) & (truth > 0.2) & (truth <= MOST_M)
        if known.sum() < 500:
            return
        ours, truth_m = depth[known], truth[known]
        ratio = np.maximum(ours / truth_m, truth_m / ours)
        objects = (sample.instance > 0) & known
        on_objects = np.abs(depth[objects] / truth[objects] - 1).mean() if objects.sum() > 50 else np.nan
        infinite = ~np.isfinite(truth)
        self.rows.append(
            (
                np.abs(ours / truth_m - 1).mean(),
                (ratio < 1.25).mean(),
                on_objects,
                np.median(ours / truth_m),
                (sky == infinite).mean(),
            )
        )

    def summary(self) -> dict:
        if not self.rows:
            return {"pictures": 0}
        table = np.array(self.rows)
        return {
            "pictures": len(table),
            "abs_rel": round(float(table[:, 0].mean()), 4),
            "delta1": round(float(table[:, 1].mean()), 4),
            "abs_rel_on_objects": round(float(np.nanmean(table[:, 2])), 4),
            "scale_spread": round(float(np.log(table[:, 3]).std()), 4),
            "sky_accuracy": round(float(table[:, 4].mean()), 4),
        }


def speed(paths: list[Path], rounds: int = 60) -> dict[str, float]:
    """Milliseconds of the quickest run on one thread, the models taken in turn; other work on the machine only adds."""
    sessions, feeds = [session(path) for path in paths], []
    for net in sessions:
        feed = {i.name: np.random.default_rng(1).random(i.shape, np.float32) for i in net.get_inputs()}
        if "K" in feed:
            feed["K"] = np.array([[[260, 0, 159.5], [0, 260, 95.5], [0, 0, 1]]], np.float32)
        feeds.append(feed)
    times = [[] for _ in paths]
    for _ in range(rounds):
        for index, net in enumerate(sessions):
            # One run warms the caches that the other models cooled.
            net.run(None, feeds[index])
            started = time.perf_counter()
            net.run(None, feeds[index])
            times[index].append(time.perf_counter() - started)
    return {path.stem: round(1e3 * min(t), 2) for path, t in zip(paths, times)}


def main() -> None:
    root = Path(__file__).parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.environ.get("KINESTREAM", "kinestream"))
    parser.add_argument("--models", type=Path, default=root / "models")
    parser.add_argument("--scene", default=",".join(SCENES))
    parser.add_argument("--first-seed", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=60, help="worlds a scene")
    parser.add_argument("--per-seed", type=int, default=3)
    parser.add_argument("--confidence", type=float, default=0.1, help="the least that the engine gives its tracker")
    parser.add_argument("--only", choices=["detector", "depth"])
    parser.add_argument("--yardstick", type=Path, help="yolox_nano.onnx, to compare the speed with")
    parser.add_argument("--out", type=Path, help="where to write the scores as JSON")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)

    detector = Detector(arguments.models / "kinestream-detector.onnx") if arguments.only != "depth" else None
    depth = session(arguments.models / "kinestream-depth.onnx") if arguments.only != "detector" else None
    scores: dict = {"detector": {}, "depth": {}}
    last = arguments.first_seed + arguments.seeds - 1
    pooled, unseen = DetectorScore(detector, arguments.confidence), DepthScore(depth)
    for scene in arguments.scene.split(","):
        in_scene, in_depth = DetectorScore(detector, arguments.confidence), DepthScore(depth)
        seeds = f"{arguments.first_seed}-{last}"
        for sample in samples(arguments.binary, scene, seeds, arguments.per_seed, 640, 384):
            new_camera = is_unseen(sample.header["width"], sample.header["fx"])
            if detector:
                in_scene.add(sample)
                pooled.add(sample)
            if depth and not new_camera:
                in_depth.add(sample)
        if depth:
            for sample in samples(arguments.binary, scene, seeds, 1, 640, 384, fov=UNSEEN_FOV_DEG):
                if is_unseen(sample.header["width"], sample.header["fx"]):
                    unseen.add(sample)
            scores["depth"][scene] = in_depth.summary()
            print(scene, json.dumps(scores["depth"][scene]), flush=True)
        if detector:
            scores["detector"][scene] = in_scene.summary()
            print(scene, json.dumps(scores["detector"][scene]), flush=True)
    if detector:
        scores["detector"]["all"] = pooled.summary()
        print("all", json.dumps(scores["detector"]["all"]))
    if depth:
        scores["depth"]["unseen_fov"] = unseen.summary()
        print("unseen field of view", json.dumps(scores["depth"]["unseen_fov"]))
    if arguments.yardstick:
        models = [arguments.models / f"kinestream-{name}.onnx" for name in ("detector", "depth")]
        scores["milliseconds"] = speed([arguments.yardstick, *models])
        print(json.dumps(scores["milliseconds"]))
    if arguments.out:
        arguments.out.write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    main()
