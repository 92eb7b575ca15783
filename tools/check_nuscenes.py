#!/usr/bin/env python3
"""Opens the nuScenes tables of `kinestream sim render` with nuscenes-devkit and compares its boxes with the truth.

    pip install nuscenes-devkit
    kinestream sim render --scene street-fixed --seed 7 --seconds 5 --out DIR
    tools/check_nuscenes.py DIR

Exits with 1 on the first table, box or link that differs.
"""

import json
import sys
from pathlib import Path

import numpy as np
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.geometry_utils import BoxVisibility, view_points

EPOCH_US = 1_600_000_000_000_000
CATEGORIES = {
    "car": "vehicle.car",
    "truck": "vehicle.truck",
    "bus": "vehicle.bus.rigid",
    "motorcycle": "vehicle.motorcycle",
    "bicycle": "vehicle.bicycle",
    "person": "human.pedestrian.adult",
    "sports ball": "movable_object.ball",
}


def check(condition, message):
    if not condition:
        sys.exit(f"check_nuscenes: {message}")


def check_trajectory(nusc, instance, by_time):
    """An instance's chain of annotations is one object's way through the world, whenever that is in the picture."""
    way, token = [], instance["first_annotation_token"]
    while token:
        row = nusc.get("sample_annotation", token)
        way.append((nusc.get("sample", row["sample_token"])["timestamp"] - EPOCH_US, row["translation"]))
        token = row["next"]
    start = np.array(way[0][1])
    first = by_time[way[0][0]]["objects"]
    identity = min(first, key=lambda item: np.linalg.norm(start - item["center_in_world_m"]))["id"]
    for time_us, place in way:
        there = next(item["center_in_world_m"] for item in by_time[time_us]["objects"] if item["id"] == identity)
        off_m = float(np.linalg.norm(np.array(place) - there))
        check(off_m < 1e-6, f"object {identity} is {off_m} m off its way at {time_us / 1e6} s")


def main():
    root = Path(sys.argv[1])
    nusc = NuScenes(version="v1.0-sim", dataroot=str(root / "nuscenes"), verbose=False)
    world, *frames = (json.loads(line) for line in (root / "truth.jsonl").open())
    intrinsics = world["intrinsics"]
    by_time = {round(frame["time_s"] * 1e6): frame for frame in frames}
    check(len(nusc.scene) == 1, f"expected one scene, found {len(nusc.scene)}")
    check(nusc.map[0]["mask"].mask() is not None, "the map cannot be read")

    token, samples, boxes_seen, velocities = nusc.scene[0]["first_sample_token"], 0, 0, []
    while token:
        sample = nusc.get("sample", token)
        frame = by_time[sample["timestamp"] - EPOCH_US]
        inside = [item for item in frame["objects"] if item["bbox_px"]]
        data = sample["data"]["CAM_FRONT"]
        picture, boxes, camera = nusc.get_sample_data(data, box_vis_level=BoxVisibility.NONE)
        check(Path(picture).stat().st_size > 0, f"no picture at {picture}")
        check(len(boxes) == len(inside), f"{len(boxes)} boxes, truth has {len(inside)} at {frame['time_s']} s")
        for box in boxes:
            at = np.array([item["center_in_camera_m"] for item in inside])
            nearest = int(np.linalg.norm(at - box.center, axis=1).argmin())
            item = inside[nearest]
            off_m = float(np.linalg.norm(at[nearest] - box.center))
            check(off_m < 1e-5, f"{box.name} is {off_m} m off at {frame['time_s']} s")
            check(box.name == CATEGORIES[item["class"]], f"{box.name} instead of {item['class']}")
            length, width, height = item["size_m"]
            check(np.allclose(box.wlh, [width, length, height]), f"size {box.wlh} instead of {item['size_m']}")
            heading = box.orientation.rotation_matrix @ [1.0, 0.0, 0.0]
            yaw = np.arctan2(-heading[2], heading[0])
            turn = (yaw - item["yaw_in_camera_rad"] + np.pi) % (2 * np.pi) - np.pi
            check(abs(turn) < 1e-5, f"{box.name} is turned by {turn} rad")
            corners = box.corners()
            if intrinsics.get("distortion") is None and corners[2].min() > 0.5:
                # nuScenes counts pixels from the centre of the first, truth from the picture's corner.
                pixels = view_points(corners, camera, normalize=True)[:2] + 0.5
                x0, y0, x1, y1 = item["bbox_px"]
                # Arms and legs in full swing reach out of the box.
                reach_m = 0.45 if item["class"] == "person" else 0.15
                slack = 1.5 + reach_m * intrinsics["fx"] / box.center[2]
                least, most = pixels.min(axis=1) - slack, pixels.max(axis=1) + slack
                held = least[0] <= x0 and least[1] <= y0 and most[0] >= x1 and most[1] >= y1
                check(held, f"{item['bbox_px']} sticks out of the projected box {least} {most}")
            velocity = nusc.box_velocity(box.token)
            annotation = nusc.get("sample_annotation", box.token)
            if annotation["prev"] and annotation["next"] and np.isfinite(velocity).all():
                velocities.append(np.linalg.norm(velocity[:2] - np.array(item["velocity_in_world_mps"])[:2]))
        boxes_seen += len(boxes)
        samples += 1
        token = sample["next"]
    check(samples == nusc.scene[0]["nbr_samples"] and samples > 0, f"{samples} samples in the chain")
    check(boxes_seen == len(nusc.sample_annotation) and boxes_seen > 0, f"{boxes_seen} boxes in the samples")
    for instance in nusc.instance:
        chain, token = 0, instance["first_annotation_token"]
        while token:
            chain, last, token = chain + 1, token, nusc.get("sample_annotation", token)["next"]
        check(chain == instance["nbr_annotations"], f"a chain of {chain} instead of {instance['nbr_annotations']}")
        check(last == instance["last_annotation_token"], "a chain ends elsewhere")
        check_trajectory(nusc, instance, by_time)
    # Over a second the mean of a turning or braking object is not its velocity.
    if velocities:
        check(np.median(velocities) < 0.5, f"velocities differ by {np.median(velocities)} m/s in the median")
    print(f"{samples} samples, {boxes_seen} boxes, {len(nusc.instance)} instances and their trajectories agree")


if __name__ == "__main__":
    main()
