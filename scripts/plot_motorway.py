#!/usr/bin/env python3
"""Runs a video from a moving car as a live camera, and draws what was published: the camera's speed and settled speeds.

Starts `kinestream run` on the video with `ego = "visual"` and `kinestream watch` beside it, reads what the subscriber heard, and
writes an SVG. Prints the camera's speed, the greatest acceleration between settled states, and how fast each object was. Nothing
but the standard library is needed.

    . scripts/env.sh && python3 scripts/plot_motorway.py --video solidWhiteRight.mp4 --detector yolox_nano.onnx --out docs/motorway.svg
"""

import argparse
import collections
import json
import math
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
WIDTH, HEIGHT, LEFT, TOP = 900, 300, 60, 20


def length(vector):
    return math.hypot(vector["x"], vector["y"], vector["z"])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(arguments, camera_file):
    """What the subscriber heard, one JSON object a line."""
    endpoint = f"tcp/127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "run.toml"
        detector = f'detector = "{arguments.detector.resolve()}"\n' if arguments.detector else ""
        config.write_text(
            f'[zenoh]\nlisten = ["{endpoint}"]\nmulticast_scouting = false\n[[camera]]\nname = "motorway"\n'
            f'source = "{arguments.video.resolve()}"\ncamera_file = "{camera_file}"\nego = "visual"\n{detector}'
        )
        watch = subprocess.Popen(
            [arguments.kinestream, "watch", "-e", endpoint, "--no-multicast-scouting", "--format", "json"],
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = tempfile.TemporaryFile("w+")
        pump = subprocess.Popen(["cat"], stdin=watch.stdout, stdout=lines)
        try:
            subprocess.run([arguments.kinestream, "run", str(config)], check=True)
        finally:
            watch.terminate()
            watch.wait()
            pump.wait()
        lines.seek(0)
        return [json.loads(line) for line in lines if line.strip().endswith("}")]


def read(messages):
    """The camera's speed over time, each object's settled states (time, speed, velocity, reliable), and which share of the
    landmarks, frame by frame, is seen where it must be if it stands still."""
    ego, objects, names, standing = [], collections.defaultdict(dict), {}, []
    for message in messages:
        tracks = message.get("tracks")
        if not tracks:
            continue
        time_s = int(tracks["header"]["pts_ns"]) * 1e-9
        pose = tracks.get("camera_pose") or {}
        if pose.get("velocity_in_world_mps") and pose.get("velocity_sigma_mps", 99) < 10:
            ego.append((time_s, length(pose["velocity_in_world_mps"])))
            standing.append(pose.get("inlier_ratio", 0))
        for item in tracks.get("objects", []):
            settled = item.get("settled")
            if settled:
                names[item["id"]] = item["class_name"]
                velocity = settled["velocity_in_world_mps"]
                state = (length(velocity), velocity, bool(item.get("reliable")))
                objects[item["id"]][round(settled["time_s"], 4)] = state
    return ego, objects, names, standing


def greatest_acceleration(states):
    worst = 0.0
    times = sorted(states)
    for before, after in zip(times, times[1:]):
        if after - before > 1e-3:
            change = [states[after][1][axis] - states[before][1][axis] for axis in "xyz"]
            worst = max(worst, math.hypot(*change) / (after - before))
    return worst


def draw(ego, objects, names):
    end = max(time for time, _ in ego)
    top_speed = 5 * math.ceil(max([speed for _, speed in ego] + [s[0] for o in objects.values() for s in o.values()]) / 5)

    def place(time, speed):
        x = LEFT + (WIDTH - LEFT - 130) * time / end
        return f"{x:.1f},{TOP + (HEIGHT - 60) * (1 - speed / top_speed):.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for speed in range(0, top_speed + 1, 5):
        a, b = place(0, speed), place(end, speed)
        parts.append(f'<polyline points="{a} {b}" stroke="#ddd" fill="none"/>')
        x, y = a.split(",")
        parts.append(f'<text x="{float(x) - 8}" y="{float(y) + 4}" text-anchor="end">{speed}</text>')
    for time in range(0, int(end) + 1):
        x, y = place(time, 0).split(",")
        parts.append(f'<text x="{x}" y="{float(y) + 16}" text-anchor="middle">{time}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 6}">seconds; m/s over the ground (thick: the camera, thin: settled states of objects)</text>')
    colours = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"]
    for index, (identity, states) in enumerate(sorted(objects.items(), key=lambda item: int(item[0]))):
        points = " ".join(place(time, states[time][0]) for time in sorted(states) if 0 <= time <= end)
        colour = colours[index % len(colours)]
        parts.append(f'<polyline points="{points}" stroke="{colour}" fill="none"/>')
        parts.append(f'<text x="{WIDTH - 120}" y="{TOP + 30 + 15 * index}" fill="{colour}">{names[identity]} {identity}</text>')
    points = " ".join(place(time, speed) for time, speed in ego)
    parts.append(f'<polyline points="{points}" stroke="black" stroke-width="2.5" fill="none"/>')
    parts.append(f'<text x="{WIDTH - 120}" y="{TOP + 12}">camera</text></svg>')
    return "\n".join(parts) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=pathlib.Path, required=True)
    parser.add_argument("--camera-file", type=pathlib.Path, default=ROOT / "configs/cameras/motorway.toml")
    parser.add_argument("--detector", type=pathlib.Path, help="the built-in one when not given")
    parser.add_argument("--kinestream", default="kinestream", help="the program")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="SVG file")
    arguments = parser.parse_args()
    ego, objects, names, standing = read(run(arguments, arguments.camera_file.resolve()))
    if not ego:
        sys.exit("the camera's speed was never published")
    steady = [speed for time, speed in ego if time > 1]
    print(f"camera: {len(ego)} frames with a speed; after 1 s {min(steady):.1f} to {max(steady):.1f} m/s, median {statistics.median(steady):.1f}")
    middle, least = statistics.median(standing), statistics.quantiles(standing, n=20)[0]
    print(f"landmarks that agree with standing still: {middle:.0%} in the median frame, {least:.0%} in the worst of 20")
    for identity, states in sorted(objects.items(), key=lambda item: int(item[0])):
        speeds = [state[0] for state in states.values()]
        reliable = sum(state[2] for state in states.values())
        print(
            f"{names[identity]} {identity}: {len(states)} settled states ({reliable} reliable), {min(speeds):.1f} to {max(speeds):.1f} m/s,"
            f" greatest acceleration {greatest_acceleration(states):.1f} m/s²"
        )
    arguments.out.write_text(draw(ego, objects, names))


if __name__ == "__main__":
    main()
