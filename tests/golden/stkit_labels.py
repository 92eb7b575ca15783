#!/usr/bin/env python3
"""Labels of STKit's tasks straight from the tables of a data set, with pandas: independent of the Rust code.

    stkit_labels.py labels --source kitti|argoverse2 --root DIR --out FILE.json   labels of many windows, as committed
    stkit_labels.py check  --source kitti|argoverse2 --root DIR --data FILE.jsonl  every record of `kinestream stkit build`

Needs numpy, pandas and (for feather) pyarrow. Definitions: positions every 0.5 s by linear interpolation between labels in
the world, at most 0.55 s apart; distance = sum of steps; direction = angle of the last step against the first step of at
least 0.25 m over the ground, clockwise, nearest multiple of 30 degrees; a step below 0.25 m has no direction.
"""
import argparse
import json
import math
import pathlib
import sys

import numpy as np
import pandas as pd

STEP_S = 0.5
GATE_M = 0.25
MAX_GAP_S = 0.55
MAX_STEPS = 39


def quaternion_matrix(w, x, y, z):
    n = math.sqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = w / n, x / n, y / n, z / n
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])


def argoverse2(root):
    """Yields (log, {track: DataFrame of t, x, y, z}); the world's origin is the place of the first pose."""
    for annotations in sorted(pathlib.Path(root).rglob("annotations.feather")):
        log = annotations.parent
        boxes = pd.read_feather(annotations)
        poses = pd.read_feather(log / "city_SE3_egovehicle.feather").drop_duplicates("timestamp_ns", keep="last")
        boxes = boxes[~boxes.category.isin(STILL)]
        first_ns = pd.read_feather(annotations, columns=["timestamp_ns"]).timestamp_ns.min()
        merged = boxes.merge(poses, on="timestamp_ns", suffixes=("", "_ego"), how="left", validate="m:1")
        if merged.qw_ego.isna().any():
            raise SystemExit(f"{log}: annotations without a pose at their time")
        world = np.empty((len(merged), 3))
        for stamp, rows in merged.groupby("timestamp_ns").indices.items():
            ego = merged.iloc[rows[0]]
            turn = quaternion_matrix(ego.qw_ego, ego.qx_ego, ego.qy_ego, ego.qz_ego)
            local = merged.iloc[rows][["tx_m", "ty_m", "tz_m"]].to_numpy()
            world[rows] = local @ turn.T + ego[["tx_m_ego", "ty_m_ego", "tz_m_ego"]].to_numpy(dtype=float)
        merged["t"] = (merged.timestamp_ns - first_ns) / 1e9
        merged[["x", "y", "z"]] = world
        tracks = {name: rows.sort_values("t")[["t", "x", "y", "z"]] for name, rows in merged.groupby("track_uuid")}
        yield log.name, tracks, merged.timestamp_ns.max() / 1e9 - first_ns / 1e9


STILL = [
    "BOLLARD", "SIGN", "CONSTRUCTION_CONE", "CONSTRUCTION_BARREL", "STOP_SIGN", "MOBILE_PEDESTRIAN_CROSSING_SIGN",
    "MOBILE_PEDESTRIAN_SIGN", "UNKNOWN", "ANIMAL_CARCASS",
]
KITTI_CLASSES = ["Car", "Van", "Truck", "Pedestrian", "Cyclist", "Tram"]


def kitti(root):
    root = pathlib.Path(root)
    labels = root / "label_02" if (root / "label_02").is_dir() else root / "label"
    for file in sorted(labels.glob("*.txt")):
        calib = {}
        for line in (root / "calib" / file.name).read_text().splitlines():
            words = line.split()
            if words:
                calib[words[0].rstrip(":")] = np.array(words[1:], dtype=float)
        p2 = calib["P2"].reshape(3, 4)
        rectify = np.eye(4)
        rectify[:3, :3] = calib.get("R_rect", calib.get("R0_rect")).reshape(3, 3)
        rigid = lambda *names: np.vstack([next(calib[n] for n in names if n in calib).reshape(3, 4), [0, 0, 0, 1]])
        cam_from_imu = rectify @ rigid("Tr_velo_cam", "Tr_velo_to_cam") @ rigid("Tr_imu_velo", "Tr_imu_to_velo")
        imu_from_cam = np.linalg.inv(cam_from_imu)
        oxts = pd.read_csv(root / "oxts" / file.name, sep=r"\s+", header=None)
        radius, scale = 6378137.0, math.cos(math.radians(oxts.iloc[0, 0]))
        world_from_imu = []
        for lat, lon, alt, roll, pitch, yaw in oxts.iloc[:, :6].to_numpy():
            x = scale * radius * math.radians(lon)
            y = scale * radius * math.log(math.tan(math.pi / 4 + math.radians(lat) / 2))
            cr, sr, cp, sp, cy, sy = (f(a) for a in (roll, pitch, yaw) for f in (math.cos, math.sin))
            rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
            ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
            rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
            pose = np.eye(4)
            pose[:3, :3], pose[:3, 3] = rz @ ry @ rx, (x, y, alt)
            world_from_imu.append(pose)
        start = world_from_imu[0][:3, 3].copy()
        for pose in world_from_imu:
            pose[:3, 3] -= start
        names = "frame id type truncated occluded alpha x0 y0 x1 y1 h w l x y z ry".split()
        rows = pd.read_csv(file, sep=r"\s+", header=None, names=names, usecols=range(17))
        rows = rows[rows.type.isin(KITTI_CLASSES)].copy()
        local = rows[["x", "y", "z"]].to_numpy() - np.outer(rows.h, [0, 0.5, 0])
        world = [
            world_from_imu[frame] @ imu_from_cam @ np.append(point, 1.0) for frame, point in zip(rows.frame, local)
        ]
        rows[["x", "y", "z"]] = np.array(world)[:, :3]
        rows["t"] = rows.frame / 10.0
        tracks = {str(name): group.sort_values("t")[["t", "x", "y", "z"]] for name, group in rows.groupby("id")}
        yield file.stem, tracks, (len(oxts) - 1) / 10.0
        del p2


SOURCES = {"kitti": kitti, "argoverse2": argoverse2}


def positions(track, start_s, steps):
    """Positions every 0.5 s, or None when the track does not reach over them without a gap."""
    t = track.t.to_numpy()
    wanted = start_s + STEP_S * np.arange(steps + 1)
    if wanted[0] < t[0] - 1e-6 or wanted[-1] > t[-1] + 1e-6:
        return None
    wanted = np.clip(wanted, t[0], t[-1])
    after = np.searchsorted(t, wanted, side="right")
    inside = (after < len(t)) & (t[np.maximum(after - 1, 0)] < wanted)
    gaps = t[np.minimum(after, len(t) - 1)] - t[np.maximum(after - 1, 0)]
    if (gaps[inside] > MAX_GAP_S).any():
        return None
    return np.column_stack([np.interp(wanted, t, track[axis].to_numpy()) for axis in "xyz"])


def angles(points):
    """Angle of each step against the first moving one, degrees clockwise in (-180, 180]; None for standing steps."""
    steps = np.diff(points[:, :2], axis=0)
    moving = np.hypot(steps[:, 0], steps[:, 1]) >= GATE_M
    if not moving.any():
        return [None] * len(steps)
    rx, ry = steps[np.argmax(moving)]
    return [
        math.degrees(math.atan2(dx * ry - dy * rx, dx * rx + dy * ry)) if m else None
        for (dx, dy), m in zip(steps, moving)
    ]


def hour(angle):
    return int(math.floor(angle / 30.0 + 0.5)) % 12 or 12


def margin(angle):
    return 15.0 - abs(angle - 30.0 * math.floor(angle / 30.0 + 0.5))


def distance(points):
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def runs(points):
    """[hour, first step, last step + 1] of consecutive steps toward one hour."""
    found, open_run = [], None
    for step, angle in enumerate(angles(points)):
        h = None if angle is None else hour(angle)
        if h is not None and open_run is not None and open_run[0] == h:
            open_run[2] = step + 1
        else:
            open_run = None if h is None else [h, step, step + 1]
            if open_run is not None:
                found.append(open_run)
    return found


def same_direction(a, b):
    """Angle between two displacements, degrees."""
    (ax, ay), (bx, by) = (a[-1] - a[0])[:2], (b[-1] - b[0])[:2]
    return abs(math.degrees(math.atan2(ax * by - ay * bx, ax * bx + ay * by)))


def windows(track, end_s):
    """Windows on the grid that starts at the recording's first label: every fifth start, three lengths."""
    t = track.t.to_numpy()
    first = math.ceil((t[0] - 1e-6) / STEP_S)
    for start in range(first, int(end_s / STEP_S) + 1, 5):
        for steps in (4, 11, MAX_STEPS):
            points = positions(track, start * STEP_S, steps)
            if points is not None:
                yield start, steps, points


def labels(source, root):
    out = []
    for name, tracks, end_s in SOURCES[source](root):
        held = {}
        for track, rows in tracks.items():
            for start, steps, points in windows(rows, end_s):
                last = angles(points)[-1]
                out.append({
                    "recording": name, "track": track, "start": start, "steps": steps,
                    "distance_m": distance(points), "speed_kmh": distance(points) / (steps * STEP_S) * 3.6,
                    "angle_deg": last, "hour": None if last is None else hour(last), "runs": runs(points),
                })
                held.setdefault((start, steps), []).append((track, points))
        for (start, steps), members in held.items():
            for (a, pa), (b, pb) in zip(members, members[1:]):
                da, db = distance(pa), distance(pb)
                way = min(np.hypot(*(p[-1] - p[0])[:2]) for p in (pa, pb))
                out.append({
                    "recording": name, "tracks": [a, b], "start": start, "steps": steps, "farther": a if da > db else b,
                    "between_deg": same_direction(pa, pb) if way >= GATE_M else None,
                })
    return out


def check(source, root, data):
    recordings = {name: tracks for name, tracks, _ in SOURCES[source](root)}
    count, wrong, worst = 0, [], 0.0
    for line in open(data):
        record = json.loads(line)
        origin = record["quality"]["provenance"]
        tracks = recordings[origin["recording"].split("/")[-1]]
        start_s = origin["start_s"] + record["span"][0]
        steps = round((record["span"][1] - record["span"][0]) / STEP_S)
        points = [positions(tracks[str(o["track_id"])], start_s, steps) for o in record["objects"]]
        question = record["conversations"][0]["value"].split(" in the video. ", 1)[1]
        answer, task, right = record["answer"], record["task"], False
        if any(p is None for p in points):
            pass
        elif task in ("TD", "TS"):
            value = distance(points[0]) / (1 if task == "TD" else steps * STEP_S / 3.6)
            error = abs(value - answer["distance_m" if task == "TD" else "speed_kmh"])
            worst, right = max(worst, error), error <= 1e-6
        elif task == "MD":
            angle = angles(points[0])[-1]
            right = angle is not None and hour(angle) == answer["clock_hour"] and margin(angle) > 5
        elif task == "DT":
            first, last = (round((t - record["span"][0]) / STEP_S) for t in answer["time_range_s"])
            asked = int(question.split(" o'clock")[0].split()[-1])
            right = [run[1:] for run in runs(points[0]) if run[0] == asked] == [[first, last]]
        elif task in ("TDC", "TSC"):
            lesser = any(w in question for w in ("less", "shorter", "smaller", "slower", "lower"))
            values = [distance(p) for p in points]
            pick = values.index(min(values) if lesser else max(values))
            right = record["objects"][pick]["color"] == answer["object"]
        elif task == "MDC":
            differs = "differ" in question
            right = (same_direction(*points) < 15) != differs == answer["yes_no"]
        count += 1
        if not right:
            wrong.append(record["id"])
    print(f"{count} records, {len(wrong)} disagree, largest difference of a distance or speed {worst:.3g}")
    for name in wrong[:20]:
        print("  ", name)
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["labels", "check"])
    parser.add_argument("--source", choices=SOURCES, required=True)
    parser.add_argument("--root", required=True)
    parser.add_argument("--out")
    parser.add_argument("--data")
    args = parser.parse_args()
    if args.what == "check":
        sys.exit(0 if check(args.source, args.root, args.data) else 1)
    found = labels(args.source, args.root)
    with open(args.out, "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(entry) for entry in found) + "\n]\n")
    print(f"{len(found)} labels")


if __name__ == "__main__":
    main()
