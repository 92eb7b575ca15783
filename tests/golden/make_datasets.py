#!/usr/bin/env python3
"""Writes small data sets in the official schemas of nuScenes, nuPlan and Ego-Exo4D below tests/data/datasets/, and the
trajectories that they hold (truth.json), computed here and not by the readers.

    make_datasets.py
"""
import csv
import hashlib
import json
import math
import pathlib
import pickle
import sqlite3
import struct
import zlib

OUT = pathlib.Path(__file__).parent.parent / "data" / "datasets"
START_US = 1_532_402_927_612_460


def token(*words):
    return hashlib.md5("/".join(map(str, words)).encode()).hexdigest()


def quaternion(yaw):
    return [math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]


# Camera (x right, y down, z forward) on a vehicle (x forward, y left, z up), looking ahead.
CAMERA_TURN = [0.5, -0.5, 0.5, -0.5]


def ego(t):
    """The vehicle drives along a gentle left bend at 8 m/s."""
    yaw = 0.05 * t
    return [600.0 + 160.0 * math.sin(yaw), 1600.0 + 160.0 * (1 - math.cos(yaw)), 0.0], yaw


def car(t):
    """Ahead of the vehicle, turning right after 4 s."""
    if t < 4.0:
        return [630.0 + 9.0 * t, 1600.5, 0.8], 0.0
    turned = 0.25 * (t - 4.0)
    return [666.0 + 36.0 * math.sin(turned), 1600.5 - 36.0 * (1 - math.cos(turned)), 0.8], -turned


def walker(t):
    return [640.0 + 0.4 * t, 1610.0 - 1.3 * t, 0.9], -1.27


OBJECTS = {"car": (car, [1.9, 4.5, 1.6], "vehicle.car"), "walker": (walker, [0.6, 0.6, 1.75], "human.pedestrian.adult")}


def nuscenes():
    root = OUT / "nuscenes" / "v1.0-mini"
    root.mkdir(parents=True, exist_ok=True)
    times = [0.5 * k for k in range(17)]
    tables = {name: [] for name in (
        "attribute", "calibrated_sensor", "category", "ego_pose", "instance", "log", "map", "sample", "sample_annotation",
        "sample_data", "scene", "sensor", "visibility")}
    tables["log"] = [{"token": token("log"), "logfile": "n000", "vehicle": "n000", "date_captured": "2018-07-24", "location": "x"}]
    tables["map"] = [{"token": token("map"), "log_tokens": [token("log")], "category": "semantic_prior", "filename": "maps/none.png"}]
    tables["visibility"] = [
        {"token": str(k), "level": level, "description": ""} for k, level in enumerate(["v0-40", "v40-60", "v60-80", "v80-100"], 1)]
    tables["attribute"] = [{"token": token("attribute"), "name": "vehicle.moving", "description": ""}]
    tables["category"] = [{"token": token("category", c), "name": c, "description": "", "index": k}
                          for k, (_, _, c) in enumerate(OBJECTS.values(), 1)]
    for channel, modality in (("CAM_FRONT", "camera"), ("LIDAR_TOP", "lidar")):
        tables["sensor"].append({"token": token("sensor", channel), "channel": channel, "modality": modality})
        tables["calibrated_sensor"].append({
            "token": token("calibrated", channel), "sensor_token": token("sensor", channel),
            "translation": [1.7, 0.0, 1.5] if modality == "camera" else [0.9, 0.0, 1.8],
            "rotation": CAMERA_TURN if modality == "camera" else [1.0, 0.0, 0.0, 0.0],
            "camera_intrinsic": [[1266.4, 0.0, 816.3], [0.0, 1266.4, 491.5], [0.0, 0.0, 1.0]] if modality == "camera" else []})
    scene = token("scene")
    tables["scene"] = [{"token": scene, "log_token": token("log"), "nbr_samples": len(times), "name": "scene-0001",
                        "description": "", "first_sample_token": token("sample", 0), "last_sample_token": token("sample", len(times) - 1)}]
    link = lambda kind, k, *more: token(kind, k, *more) if 0 <= k < len(times) else ""
    for k, t in enumerate(times):
        stamp = START_US + round(t * 1e6)
        tables["sample"].append({"token": token("sample", k), "timestamp": stamp, "prev": link("sample", k - 1),
                                 "next": link("sample", k + 1), "scene_token": scene})
        for channel in ("CAM_FRONT", "LIDAR_TOP"):
            place, yaw = ego(t)
            tables["ego_pose"].append({"token": token("pose", k, channel), "timestamp": stamp, "rotation": quaternion(yaw),
                                       "translation": place})
            camera = channel.startswith("CAM")
            tables["sample_data"].append({
                "token": token("data", k, channel), "sample_token": token("sample", k), "ego_pose_token": token("pose", k, channel),
                "calibrated_sensor_token": token("calibrated", channel), "timestamp": stamp, "fileformat": "jpg" if camera else "pcd",
                "is_key_frame": True, "height": 900 if camera else 0, "width": 1600 if camera else 0,
                "filename": f"samples/{channel}/{stamp}.{'jpg' if camera else 'pcd.bin'}",
                "prev": link("data", k - 1, channel), "next": link("data", k + 1, channel)})
        for name, (path, size, category) in OBJECTS.items():
            place, yaw = path(t)
            tables["sample_annotation"].append({
                "token": token("annotation", k, name), "sample_token": token("sample", k), "instance_token": token("instance", name),
                "visibility_token": "4", "attribute_tokens": [token("attribute")], "translation": place, "size": size,
                "rotation": quaternion(yaw), "prev": link("annotation", k - 1, name), "next": link("annotation", k + 1, name),
                "num_lidar_pts": 30, "num_radar_pts": 2})
    tables["instance"] = [{
        "token": token("instance", name), "category_token": token("category", category), "nbr_annotations": len(times),
        "first_annotation_token": token("annotation", 0, name), "last_annotation_token": token("annotation", len(times) - 1, name)}
        for name, (_, _, category) in OBJECTS.items()]
    for name, rows in tables.items():
        (root / f"{name}.json").write_text(json.dumps(rows, indent=0))
    # The official reader wants a map's mask to exist: one black pixel.
    (OUT / "nuscenes" / "maps").mkdir(exist_ok=True)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    (OUT / "nuscenes" / "maps" / "none.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b""))
    return {token("instance", name): [[t, *path(t)[0]] for t in times] for name, (path, _, _) in OBJECTS.items()}


NUPLAN_SCHEMA = """
CREATE TABLE log (token BLOB NOT NULL, vehicle_name VARCHAR(64), date VARCHAR(64), timestamp INTEGER, logfile VARCHAR(64),
  location VARCHAR(64), map_version VARCHAR(64), PRIMARY KEY (token));
CREATE TABLE camera (token BLOB NOT NULL, log_token BLOB NOT NULL, channel VARCHAR(64), model VARCHAR(64), translation BLOB,
  rotation BLOB, intrinsic BLOB, distortion BLOB, width INTEGER, height INTEGER, PRIMARY KEY (token));
CREATE TABLE lidar (token BLOB NOT NULL, log_token BLOB NOT NULL, channel VARCHAR(64), model VARCHAR(64), translation BLOB,
  rotation BLOB, PRIMARY KEY (token));
CREATE TABLE ego_pose (token BLOB NOT NULL, timestamp INTEGER, x FLOAT, y FLOAT, z FLOAT, qw FLOAT, qx FLOAT, qy FLOAT,
  qz FLOAT, vx FLOAT, vy FLOAT, vz FLOAT, acceleration_x FLOAT, acceleration_y FLOAT, acceleration_z FLOAT,
  angular_rate_x FLOAT, angular_rate_y FLOAT, angular_rate_z FLOAT, epsg INTEGER, log_token BLOB NOT NULL, PRIMARY KEY (token));
CREATE TABLE image (token BLOB NOT NULL, next_token BLOB, prev_token BLOB, ego_pose_token BLOB NOT NULL, camera_token BLOB NOT NULL,
  filename_jpg VARCHAR(128), timestamp INTEGER, PRIMARY KEY (token));
CREATE TABLE lidar_pc (token BLOB NOT NULL, next_token BLOB, prev_token BLOB, ego_pose_token BLOB NOT NULL, lidar_token BLOB NOT NULL,
  scene_token BLOB, filename VARCHAR(128), timestamp INTEGER, PRIMARY KEY (token));
CREATE TABLE lidar_box (token BLOB NOT NULL, lidar_pc_token BLOB NOT NULL, track_token BLOB NOT NULL, next_token BLOB,
  prev_token BLOB, x FLOAT, y FLOAT, z FLOAT, width FLOAT, length FLOAT, height FLOAT, vx FLOAT, vy FLOAT, vz FLOAT, yaw FLOAT,
  confidence FLOAT, PRIMARY KEY (token));
CREATE TABLE track (token BLOB NOT NULL, category_token BLOB NOT NULL, width FLOAT, length FLOAT, height FLOAT, PRIMARY KEY (token));
CREATE TABLE category (token BLOB NOT NULL, name VARCHAR(64), description TEXT, PRIMARY KEY (token));
CREATE TABLE scene (token BLOB NOT NULL, log_token BLOB NOT NULL, name TEXT, goal_ego_pose_token BLOB, roadblock_ids TEXT,
  PRIMARY KEY (token));
CREATE TABLE scenario_tag (token BLOB NOT NULL, lidar_pc_token BLOB NOT NULL, type TEXT, agent_track_token BLOB, PRIMARY KEY (token));
CREATE TABLE traffic_light_status (token BLOB NOT NULL, lidar_pc_token BLOB NOT NULL, lane_connector_id INTEGER, status VARCHAR(8),
  PRIMARY KEY (token));
"""


def nuplan():
    root = OUT / "nuplan"
    root.mkdir(parents=True, exist_ok=True)
    path = root / "2021.05.12.22.00.38_veh-35_01008_01518.db"
    path.unlink(missing_ok=True)
    blob = lambda *words: bytes.fromhex(token(*words))[:8]
    db = sqlite3.connect(path)
    db.executescript(NUPLAN_SCHEMA)
    db.execute("INSERT INTO log VALUES (?,?,?,?,?,?,?)", (blob("log"), "veh-35", "2021-05-12", START_US, "x", "las_vegas", "1"))
    dump = lambda value: pickle.dumps(value, protocol=4)
    db.execute("INSERT INTO camera VALUES (?,?,?,?,?,?,?,?,?,?)", (
        blob("camera"), blob("log"), "CAM_F0", "x", dump([1.6, 0.0, 1.5]), dump(CAMERA_TURN),
        dump([[1545.0, 0.0, 960.0], [0.0, 1545.0, 560.0], [0.0, 0.0, 1.0]]), dump([-0.35, 0.14, 0.0, 0.0, -0.03]), 1920, 1080))
    names = {"car": "vehicle", "walker": "pedestrian"}
    for name, category in names.items():
        width, length, height = OBJECTS[name][1]
        db.execute("INSERT INTO category VALUES (?,?,?)", (blob("category", name), category, ""))
        db.execute("INSERT INTO track VALUES (?,?,?,?,?)", (blob("track", name), blob("category", name), width, length, height))
    db.execute("INSERT INTO scene VALUES (?,?,?,?,?)", (blob("scene"), blob("log"), "scene-000", None, ""))
    truth = {token("track", name)[:16]: [] for name in names}
    for k in range(161):
        t = 0.05 * k
        stamp = START_US + round(t * 1e6)
        (x, y, z), yaw = ego(t)
        q = quaternion(yaw)
        db.execute(f"INSERT INTO ego_pose VALUES ({','.join('?' * 20)})",
                   (blob("pose", k), stamp, x, y, z, *q, *[0.0] * 9, 32611, blob("log")))
        db.execute("INSERT INTO lidar_pc VALUES (?,?,?,?,?,?,?,?)",
                   (blob("pc", k), None, None, blob("pose", k), blob("lidar"), blob("scene"), f"{k}.pcd", stamp))
        for name in names:
            place, turn = OBJECTS[name][0](t)
            width, length, height = OBJECTS[name][1]
            db.execute(f"INSERT INTO lidar_box VALUES ({','.join('?' * 16)})",
                       (blob("box", k, name), blob("pc", k), blob("track", name), None, None, *place, width, length, height,
                        0.0, 0.0, 0.0, turn, 0.9))
            if k % 2 == 0:
                truth[token("track", name)[:16]].append([round(t * 1e6) / 1e6, *place])
    db.commit()
    db.close()
    return truth


def ego_exo():
    take = OUT / "egoexo4d" / "takes" / "uniandes_basketball_001_01" / "trajectory"
    take.mkdir(parents=True, exist_ok=True)
    header = ("graph_uid,tracking_timestamp_us,utc_timestamp_ns,tx_world_device,ty_world_device,tz_world_device,qx_world_device,"
              "qy_world_device,qz_world_device,qw_world_device,device_linear_velocity_x_device,device_linear_velocity_y_device,"
              "device_linear_velocity_z_device,angular_velocity_x_device,angular_velocity_y_device,angular_velocity_z_device,"
              "gravity_x_world,gravity_y_world,gravity_z_world,quality_score,geo_available,tx_ecef_device,ty_ecef_device,"
              "tz_ecef_device,qx_ecef_device,qy_ecef_device,qz_ecef_device,qw_ecef_device").split(",")
    truth = []
    with open(take / "closed_loop_trajectory.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(header)
        for k in range(1001):
            t = 0.01 * k
            place = [3.0 * math.sin(0.6 * t), 2.0 * math.cos(0.8 * t), 1.6]
            q = quaternion(0.3 * t)
            out.writerow(["g", 9_000_000 + 10_000 * k, -1, *place, q[1], q[2], q[3], q[0], *[0.0] * 6, 0.0, 0.0, -9.81, 1.0, 0,
                          *[0.0] * 7])
            if k % 10 == 0:
                truth.append([round(1e6 * t) / 1e6, *place])
    with open(take / "gopro_calibs.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["cam_uid", "graph_uid", "tx_world_cam", "ty_world_cam", "tz_world_cam", "qx_world_cam", "qy_world_cam",
                      "qz_world_cam", "qw_world_cam", "image_width", "image_height", "intrinsics_type",
                      *[f"intrinsics_{k}" for k in range(8)], "start_frame_idx", "end_frame_idx"])
        out.writerow(["cam01", "g", -8.0, 0.0, 1.6, -0.5, 0.5, -0.5, 0.5, 3840, 2160, "KANNALABRANDTK3",
                      1750.0, 1750.0, 1920.0, 1080.0, 0.03, 0.01, -0.01, 0.0, 0, 300])
    (OUT / "egoexo4d" / "takes.json").write_text(json.dumps([
        {"take_name": "uniandes_basketball_001_01", "parent_task_name": "Basketball", "task_name": "Basketball Drills"}]))
    return {"wearer": truth}


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    truth = {"nuscenes": nuscenes(), "nuplan": nuplan(), "egoexo4d": ego_exo()}
    (OUT / "truth.json").write_text(json.dumps(truth))
