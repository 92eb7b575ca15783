"""A pool of simulated pictures on disk that both trainings draw from while it grows.

One process fills it (`pool.py --out DIR`): it runs `kinestream sim samples`, packs pictures as JPEG and depths as they
are, and writes shards of 64. When the pool is full, the oldest shard goes. Readers see whole shards only.
"""

import argparse
import json
import math
import os
import random
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

SHARD = 64
# Classes that the worlds hold few of.
RARE = {"bicycle", "motorcycle", "bus", "truck", "sports ball"}
# Horizontal fields of view in this band, degrees, never go into training, neither rendered nor cropped: they are the
# "intrinsics never seen" of the evaluation.
UNSEEN_FOV_DEG = (60.0, 66.0)


def fov_deg(width: float, fx: float) -> float:
    """Horizontal field of view of a picture, degrees."""
    return math.degrees(2 * math.atan(0.5 * width / fx))


def is_unseen(width: float, fx: float) -> bool:
    return UNSEEN_FOV_DEG[0] <= fov_deg(width, fx) <= UNSEEN_FOV_DEG[1]


@dataclass
class Sample:
    """One picture with its truth."""

    header: dict
    rgb: np.ndarray  # u8 [h, w, 3]
    depth: np.ndarray  # f16 [h, w], metres along the optical axis, +inf where there is sky
    instance: np.ndarray | None = None  # u16 [h, w]


def samples(binary: str, scenes: str, seeds: str, per_seed: int, width: int, height: int, *, fov=None, loop=False):
    """Runs the simulator and yields what it renders."""
    command = [binary, "sim", "samples", "--scene", scenes, "--seeds", seeds, "--per-seed", str(per_seed)]
    command += ["--width", str(width), "--height", str(height)]
    if fov:
        command += ["--fov", f"{fov[0]}-{fov[1]}"]
    if loop:
        command.append("--loop")
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        while True:
            size = process.stdout.read(4)
            if len(size) < 4:
                break
            header = json.loads(process.stdout.read(struct.unpack("<I", size)[0]))
            w, h = header["width"], header["height"]
            body = process.stdout.read(w * h * 7)
            if len(body) < w * h * 7:
                break
            rgb = np.frombuffer(body, np.uint8, w * h * 3).reshape(h, w, 3)
            depth = np.frombuffer(body, np.float16, w * h, w * h * 3).reshape(h, w)
            instance = np.frombuffer(body, np.uint16, w * h, w * h * 5).reshape(h, w)
            yield Sample(header, rgb, depth, instance)
    finally:
        process.kill()
        if process.wait() not in (0, -9):
            raise RuntimeError(f"{' '.join(command)}: exit status {process.returncode}")


def pack(sample: Sample) -> tuple[dict, bytes, bytes]:
    _, jpeg = cv2.imencode(".jpg", sample.rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 96])
    return sample.header, jpeg.tobytes(), np.ascontiguousarray(sample.depth[::2, ::2]).tobytes()


def write_shard(folder: Path, number: int, packed: list[tuple[dict, bytes, bytes]]) -> None:
    index, blob = [], bytearray()
    for header, jpeg, depth in packed:
        index.append({"header": header, "jpeg": [len(blob), len(jpeg)], "depth": [len(blob) + len(jpeg), len(depth)]})
        blob += jpeg + depth
    text = json.dumps(index).encode()
    part = folder / f"{number:06d}.part"
    part.write_bytes(struct.pack("<I", len(text)) + text + blob)
    part.rename(folder / f"{number:06d}.shard")


class Pool:
    """Draws random samples from a growing pool; depths come at half size."""

    def __init__(self, folder: Path, seed: int):
        self.folder, self.random = folder, random.Random(seed)
        self.shards: dict[str, tuple[np.memmap, int, list]] = {}
        self.seen_at = 0.0

    def refresh(self) -> None:
        if time.monotonic() - self.seen_at < 20 and self.shards:
            return
        self.seen_at = time.monotonic()
        names = {path.name for path in self.folder.glob("*.shard")}
        for name in self.shards.keys() - names:
            del self.shards[name]
        for name in sorted(names - self.shards.keys()):
            try:
                data = np.memmap(self.folder / name, np.uint8, "r")
            except FileNotFoundError:
                continue
            size = int(data[:4].view("<u4")[0])
            self.shards[name] = (data, 4 + size, json.loads(data[4 : 4 + size].tobytes()))
        self.names = sorted(self.shards)

    def draw(self, rare: float = 0.0) -> Sample:
        """A random sample; with probability `rare` one that shows a class that worlds hold few of."""
        self.refresh()
        tries = 40 if self.random.random() < rare else 1
        for _ in range(tries):
            data, base, index = self.shards[self.random.choice(self.names)]
            entry = self.random.choice(index)
            if any(actor["class"] in RARE for actor in entry["header"]["actors"]):
                break
        start, size = entry["jpeg"]
        rgb = cv2.imdecode(data[base + start : base + start + size], cv2.IMREAD_COLOR_RGB)
        start, size = entry["depth"]
        header = entry["header"]
        depth = data[base + start : base + start + size].view(np.float16).reshape(header["height"] // 2, -1)
        return Sample(header, rgb, depth)


def fill(arguments: argparse.Namespace) -> None:
    folder = Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    numbers = sorted(int(path.stem) for path in folder.glob("*.shard"))
    number = numbers[-1] + 1 if numbers else 0
    started, made, packed = time.monotonic(), 0, []
    stream = samples(
        arguments.binary, arguments.scene, arguments.seeds, arguments.per_seed, 640, 384, fov=arguments.fov, loop=True
    )
    for sample in stream:
        if is_unseen(sample.header["width"], sample.header["fx"]):
            continue
        packed.append(pack(sample))
        made += 1
        if len(packed) == SHARD:
            write_shard(folder, number, packed)
            numbers.append(number)
            number, packed = number + 1, []
            while len(numbers) * SHARD > arguments.size:
                (folder / f"{numbers.pop(0):06d}.shard").unlink(missing_ok=True)
            if number % 10 == 0:
                print(f"{made} samples in {time.monotonic() - started:.0f} s", flush=True)
        if made > arguments.burst:
            # The pipe's back-pressure holds the renderer while this sleeps.
            ahead = (made - arguments.burst) / arguments.rate - (time.monotonic() - started)
            if ahead > 0:
                time.sleep(min(ahead, 1.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=os.environ.get("KINESTREAM", "kinestream"))
    parser.add_argument("--out", required=True, help="folder of the pool")
    parser.add_argument("--scene", default="street-fixed,street-drive,plaza,court,parking")
    parser.add_argument("--seeds", default="0-99999", help="training seeds; 100000 and above are held out")
    parser.add_argument("--per-seed", type=int, default=4)
    parser.add_argument("--fov", type=lambda text: tuple(text.split("-")), help="MIN-MAX, degrees")
    parser.add_argument("--size", type=int, default=14000, help="samples kept")
    parser.add_argument("--burst", type=int, default=1600, help="samples made at full speed at the start")
    parser.add_argument("--rate", type=float, default=8.0, help="samples a second afterwards")
    fill(parser.parse_args())


if __name__ == "__main__":
    main()
