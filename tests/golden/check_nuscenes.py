#!/usr/bin/env python3
"""The nuScenes fixture read by the official reader (PyPI: nuscenes-devkit) against the trajectories it was written from.

    check_nuscenes.py [DATAROOT VERSION TRUTH.json]
"""
import json
import pathlib
import sys

import numpy as np
from nuscenes.nuscenes import NuScenes

DATA = pathlib.Path(__file__).parent.parent / "data" / "datasets"


def main(root=DATA / "nuscenes", version="v1.0-mini", truth=DATA / "truth.json"):
    tables = NuScenes(version=version, dataroot=str(root), verbose=False)
    worst = 0.0
    for instance, points in json.load(open(truth))["nuscenes"].items():
        token, count, first_us = tables.get("instance", instance)["first_annotation_token"], 0, None
        while token:
            row = tables.get("sample_annotation", token)
            time_us = tables.get("sample", row["sample_token"])["timestamp"]
            first_us = time_us if first_us is None else first_us
            worst = max(worst, abs((time_us - first_us) / 1e6 - points[count][0]))
            worst = max(worst, np.abs(np.array(row["translation"]) - points[count][1:]).max())
            token, count = row["next"], count + 1
        assert count == len(points), f"{instance}: {count} annotations, expected {len(points)}"
    print(f"largest difference {worst:.3g}")
    sys.exit(0 if worst < 1e-6 else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
