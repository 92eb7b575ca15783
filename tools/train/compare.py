"""How far the default detector is from real pictures: its agreement with another YOLOX detector (COCO classes) on videos.

`compare.py --yardstick yolox_nano.onnx VIDEO...`. The yardstick's sure boxes (confidence 0.5 and more, at least 24 px high at
640 px width) are taken for truth, vehicles as one class. It errs too: this is a measure of the gap, not of accuracy.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from evaluate import Detector, overlaps

# Classes of both detectors that mean the same.
OURS = {"person": {0}, "vehicle": {2, 4, 5}}
COCO = {"person": {0}, "vehicle": {2, 5, 7}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path(__file__).parents[2] / "models")
    parser.add_argument("--yardstick", type=Path, required=True)
    parser.add_argument("--every", type=int, default=10, help="frames from one look to the next")
    parser.add_argument("videos", nargs="+", type=Path)
    arguments = parser.parse_args()
    ours, theirs = Detector(arguments.models / "kinestream-detector.onnx"), Detector(arguments.yardstick, 0.45)
    for path in arguments.videos:
        video, index = cv2.VideoCapture(str(path)), 0
        tally = {name: {"yardstick": 0, "found": 0, "ours": 0, "confirmed": 0} for name in OURS}
        while True:
            alive, picture = video.read()
            if not alive:
                break
            index += 1
            if index % arguments.every:
                continue
            least = 24 * picture.shape[1] / 640
            a_boxes, a_scores, a_classes = ours(picture, 0.25)
            b_boxes, b_scores, b_classes = theirs(picture, 0.1)
            for name, row in tally.items():
                a = a_boxes[np.isin(a_classes, list(OURS[name]))]
                b_all = b_boxes[np.isin(b_classes, list(COCO[name]))]
                sure = np.isin(b_classes, list(COCO[name])) & (b_scores >= 0.5)
                sure &= b_boxes[:, 3] - b_boxes[:, 1] >= least
                a = a[a[:, 3] - a[:, 1] >= least] if len(a) else a
                b = b_boxes[sure]
                row["yardstick"] += len(b)
                row["ours"] += len(a)
                if len(a) and len(b):
                    row["found"] += int((overlaps(b, a).max(1) >= 0.5).sum())
                if len(a) and len(b_all):
                    row["confirmed"] += int((overlaps(a, b_all).max(1) >= 0.5).sum())
        print(path.name, json.dumps(tally))


if __name__ == "__main__":
    main()
