#!/usr/bin/env python3
"""Makes detections with known truth to tune and test the tracker on, as MOT Challenge folders.

    tracking_scenes.py OUT [--seed N] [--kitti LABEL_DIR [--only SEQUENCE,...]] [--raw]
    tracking_scenes.py OUT [--seed N] --recorded DIR [--poor] [--raw]

OUT/<sequence>/{gt.txt, det.txt, seqinfo.ini}, for `kinestream eval track --dir OUT`. Two kinds of truth:

* crowds: pedestrians with wills of their own on a ground plane, seen by a camera at eye level or above, fixed or
  panning, at 5 to 30 frames a second;
* with --kitti, the 2D boxes and identities of KITTI's tracking labels at 10 and at 5 frames a second.

Both are seen through the same made-up detector: what is hidden is found less often, less surely and smaller; errors of
the box, of confidence and of finding last for a while, as a real detector's do; close boxes suppress each other
(non-maximum suppression), two people who overlap may be taken for one; there is clutter that flickers and clutter that
stays, all of it as sure as may be. Same seed, same files.

With --recorded the detections are those of a real detector in a folder of sequences (examples/detect_worlds.rs makes one);
sequences with fewer than 500 true boxes are left out. With --poor these are made worse, as a weak detector and a slow
camera would: frames are left out, each object is missed for a while now and then, errors of boxes and of confidence last
for a while, there is clutter that flickers and clutter that stays.

With --raw the detector gives what its own threshold leaves, with scores that are no probabilities, as the detections
published with MOT15 do: a tracker has to take all of them as sure.
"""

import argparse
import pathlib

import numpy as np


class Lasting:
    """Noise of unit variance that lasts about `tau_s` seconds (an Ornstein-Uhlenbeck process)."""

    def __init__(self, rng, size, tau_s, dt):
        self.rng, self.keep = rng, np.exp(-dt / tau_s)
        self.value = rng.standard_normal(size)

    def step(self):
        noise = self.rng.standard_normal(self.value.shape)
        self.value = self.keep * self.value + np.sqrt(1 - self.keep**2) * noise
        return self.value


def iou(a, b):
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / (a[2] * a[3] + b[2] * b[3] - w * h)


class Detector:
    """Sees truth boxes as a trained detector would. `quality` 0 (poor) to 1 (good); `blur` scales errors of the box.

    Set so that matched boxes agree with truth by about 0.72 (IoU) in crowds, what trackers on MOT15 report as MOTP,
    and by about 0.8 on KITTI, as trackers there report, and that about one sure box in six is false."""

    def __init__(self, rng, dt, width, height, quality, blur=1.0):
        self.rng, self.dt, self.size = rng, dt, (width, height)
        self.quality, self.blur = quality, blur
        self.suppress = rng.choice([0.3, 0.4, 0.5])
        self.objects = {}
        self.clutter = []
        self.pairs = {}

    def noise_of(self, identity):
        if identity not in self.objects:
            self.objects[identity] = {
                "bias": self.blur * (0.09 - 0.05 * self.quality) * self.rng.standard_normal(4),
                "slow": Lasting(self.rng, 4, 0.4, self.dt),
                "found": Lasting(self.rng, 1, 0.25, self.dt),
                "slip": Lasting(self.rng, 4, 0.15, self.dt),
            }
        return self.objects[identity]

    def see(self, truth):
        """`truth`: (identity, [x, y, w, h], visible share, [x, y, w, h] of the visible part). Returns boxes with confidence."""
        rng, q = self.rng, self.quality
        seen = []
        for identity, box, visible, part in truth:
            noise = self.noise_of(identity)
            slow, found = noise["slow"].step(), noise["found"].step()[0]
            # How clearly it shows: 0.35 visible is even odds for a good detector; small objects are harder.
            small = np.clip((50 - box[3]) / 50, 0, 1)
            clarity = 6.0 * (visible - 0.5 + 0.15 * q) - 2.0 * small + (1.6 - 0.6 * q) * found + 0.7 * q
            confidence = 1 / (1 + np.exp(-2.0 * clarity))
            if confidence < 0.05:
                continue
            hidden = np.clip(1 - visible, 0, 1)
            share = hidden * rng.uniform(0.2, 1.0)
            base = (1 - share) * np.array(box) + share * np.array(part)
            scale = np.sqrt(max(base[2] * base[3], 1.0))
            sigma = self.blur * (0.12 - 0.06 * q) * (1 + hidden)
            fast = 0.2 * rng.standard_normal(4)
            cx, cy, w, h = base[0] + base[2] / 2, base[1] + base[3] / 2, base[2], base[3]
            e = noise["bias"] + sigma * (slow + fast)
            cx, cy = cx + e[0] * scale * 0.7, cy + e[1] * scale * 0.7
            w, h = w * np.exp(1.6 * e[2]), h * np.exp(e[3])
            edges = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
            # Now and then an edge slips far: legs or a side left out, a neighbour's side taken in.
            slip = noise["slip"].step()
            far = np.sign(slip) * np.clip(np.abs(slip) - 1.9, 0, 0.6) * self.blur
            edges += far * np.array([0.7 * w, 0.3 * h, 0.7 * w, 0.5 * h])
            w, h = max(edges[2] - edges[0], 0.2 * w), max(edges[3] - edges[1], 0.2 * h)
            seen.append([edges[0], edges[1], w, h, min(confidence, 0.999)])
            if rng.random() < 0.03:  # a second box on part of the body
                f = rng.uniform(0.45, 0.7)
                seen.append([edges[0], edges[1], w, h * f, rng.uniform(0.1, 0.8)])
        seen += self.see_pairs(truth)
        seen += self.see_nothing(truth)
        seen.sort(key=lambda box: -box[4])
        kept = []
        for box in seen:
            if all(iou(box, other) < self.suppress for other in kept):
                kept.append(box)
        return kept

    def see_pairs(self, truth):
        """Two who overlap are now and then taken for one, for a while."""
        boxes = []
        for i, (one, a, visible_a, _) in enumerate(truth):
            for other, b, visible_b, _ in truth[i + 1:]:
                if min(visible_a, visible_b) < 0.3 or not 0.15 < iou(a, b) < 0.6:
                    continue
                key = (one, other)
                if key not in self.pairs:
                    self.pairs[key] = Lasting(self.rng, 1, 0.3, self.dt)
                doubt = self.pairs[key].step()[0] - 1.6 + 0.8 * (1 - self.quality)
                if doubt > 0:
                    x0, y0 = min(a[0], b[0]), min(a[1], b[1])
                    x1, y1 = max(a[0] + a[2], b[0] + b[2]), max(a[1] + a[3], b[1] + b[3])
                    jitter = 0.04 * (x1 - x0) * self.rng.standard_normal(4)
                    boxes.append(list(np.array([x0, y0, x1 - x0, y1 - y0]) + jitter) + [min(0.6 + doubt, 0.999)])
        return boxes

    def see_nothing(self, truth):
        rng, (width, height) = self.rng, self.size
        like = [box for _, box, _, _ in truth] or [[0, 0, 40, 100]]
        boxes = []

        def somewhere():
            w, h = np.array(like[rng.integers(len(like))][2:]) * rng.uniform(0.6, 1.3)
            return [rng.uniform(0, max(width - w, 1)), rng.uniform(0, max(height - h, 1)), w, h]

        for _ in range(rng.poisson(0.25 - 0.15 * self.quality)):
            boxes.append(somewhere() + [rng.uniform(0.1, 0.95)])
        if rng.random() < self.dt * (1.2 - self.quality):
            self.clutter.append((somewhere(), rng.uniform(0.4, 1.0), rng.uniform(0.2, 3.0)))
        still = []
        for box, confidence, left_s in self.clutter:
            if rng.random() < 0.7:
                jitter = 0.03 * np.array([box[2], box[3], box[2], box[3]]) * rng.standard_normal(4)
                boxes.append(list(np.array(box) + jitter) + [np.clip(confidence + 0.15 * rng.standard_normal(), 0.02, 0.99)])
            if left_s > self.dt:
                still.append((box, confidence, left_s - self.dt))
        self.clutter = still
        return boxes


def visibility(boxes, far_to_near):
    """Share of each box that no nearer box covers, and the rectangle around that part."""
    out = {}
    grid = 12
    for place, i in enumerate(far_to_near):
        x, y, w, h = boxes[i]
        gx = x + (np.arange(grid) + 0.5) / grid * w
        gy = y + (np.arange(grid) + 0.5) / grid * h
        free = np.ones((grid, grid), bool)
        for j in far_to_near[place + 1:]:
            bx, by, bw, bh = boxes[j]
            # A body fills about four fifths of its box.
            inside_x = (gx > bx + 0.1 * bw) & (gx < bx + 0.9 * bw)
            inside_y = (gy > by) & (gy < by + bh)
            free &= ~np.outer(inside_y, inside_x)
        rows, columns = np.where(free.any(1))[0], np.where(free.any(0))[0]
        if len(rows) == 0:
            out[i] = (0.0, boxes[i])
            continue
        x0, x1 = x + columns[0] / grid * w, x + (columns[-1] + 1) / grid * w
        y0, y1 = y + rows[0] / grid * h, y + (rows[-1] + 1) / grid * h
        out[i] = (free.mean(), [x0, y0, x1 - x0, y1 - y0])
    return out


def clip(box, width, height):
    x0, y0 = max(box[0], 0), max(box[1], 0)
    x1, y1 = min(box[0] + box[2], width), min(box[1] + box[3], height)
    return [x0, y0, x1 - x0, y1 - y0]


class Crowd:
    """Pedestrians on a ground plane before a camera; metres, camera at the origin looking along z."""

    def __init__(self, rng, people, camera_height_m, focal_px, depth_m, pan_dps, fps, seconds, size=(640, 480)):
        self.rng, self.fps, self.size = rng, fps, size
        self.f, self.height, self.pan = focal_px, camera_height_m, np.radians(pan_dps)
        self.near, self.far = depth_m
        middle = 0.5 * (self.near + self.far)
        self.tilt = np.arctan2(camera_height_m - 0.9, middle)
        self.seconds = seconds
        self.people = people
        self.next = 1
        self.walkers = [self.newcomer(anywhere=True) for _ in range(people)]

    def newcomer(self, anywhere=False, beside=None):
        rng = self.rng
        if beside is not None:
            person = dict(beside)
            person["at"] = beside["at"] + rng.normal(0, [0.5, 0.25])
        else:
            z = rng.uniform(self.near, self.far)
            half = 0.5 * self.size[0] / self.f * z
            side = rng.choice([-1, 1])
            x = rng.uniform(-half, half) if anywhere else -side * (half + 0.6)
            heading = (0 if side > 0 else np.pi) + rng.normal(0, 0.35)
            if rng.random() < 0.25:
                heading = rng.uniform(0, 2 * np.pi)
            person = {"at": np.array([x, z]), "heading": heading, "speed": rng.uniform(0.6, 1.7), "pause_s": 0.0}
        person.update(id=self.next, tall=rng.normal(1.72, 0.09), wide=rng.uniform(0.33, 0.46), phase=rng.uniform(0, 6))
        self.next += 1
        return person

    def box(self, person, yaw):
        x, z = person["at"]
        x, z = np.cos(yaw) * x - np.sin(yaw) * z, np.sin(yaw) * x + np.cos(yaw) * z
        if z < 1.0:
            return None
        c, s = np.cos(self.tilt), np.sin(self.tilt)

        def project(y):
            depth = c * z + s * y
            return self.size[1] / 2 + self.f * (c * y - s * z) / depth, depth

        foot, depth = project(self.height)
        head, _ = project(self.height - person["tall"])
        h = foot - head
        stride = 1 + 0.18 * np.sin(person["phase"]) * min(person["speed"], 1.2) * (person["pause_s"] <= 0)
        w = person["wide"] * h * stride
        return [self.size[0] / 2 + self.f * x / depth - w / 2, head, w, h], depth

    def frames(self):
        rng, dt = self.rng, 1 / self.fps
        fine = max(1, round(dt / 0.04))
        yaw = 0.0
        for step in range(int(self.seconds * self.fps)):
            for _ in range(fine):
                self.walk(dt / fine)
            yaw += self.pan * np.sin(2 * np.pi * step * dt / 6.0) * dt
            boxes, depths = {}, {}
            for person in self.walkers:
                seen = self.box(person, yaw)
                if seen is None:
                    continue
                box = clip(seen[0], *self.size)
                if box[2] > 0.35 * seen[0][2] and box[3] > 0.5 * seen[0][3] and box[3] > 12:
                    boxes[person["id"]], depths[person["id"]] = box, seen[1]
            order = sorted(boxes, key=lambda i: -depths[i])
            shown = visibility(boxes, order)
            yield [(i, boxes[i], *shown[i]) for i in order]
        _ = rng

    def walk(self, dt):
        rng = self.rng
        staying = []
        for person in self.walkers:
            if person["pause_s"] > 0:
                person["pause_s"] -= dt
            else:
                person["heading"] += rng.normal(0, 0.25 * np.sqrt(dt))
                person["speed"] = np.clip(person["speed"] + rng.normal(0, 0.15 * np.sqrt(dt)), 0.3, 2.2)
                direction = np.array([np.cos(person["heading"]), np.sin(person["heading"])])
                person["at"] = person["at"] + person["speed"] * dt * direction
                person["phase"] += 2 * np.pi * 0.9 * dt
                if rng.random() < 0.03 * dt:
                    person["pause_s"] = rng.uniform(1, 5)
                if rng.random() < 0.05 * dt:
                    person["heading"] += rng.normal(0, 1.2)
            x, z = person["at"]
            half = 0.5 * self.size[0] / self.f * z
            if abs(x) < half + 1.0 + 3 * abs(self.pan) * z and self.near - 1 < z < self.far + 2:
                staying.append(person)
        self.walkers = staying
        if len(staying) < self.people and rng.random() < 1.5 * dt * (self.people - len(staying)):
            beside = None
            person = self.newcomer(beside=beside)
            self.walkers.append(person)
            if rng.random() < 0.3:
                self.walkers.append(self.newcomer(beside=person))


def kitti(path, keep_every):
    """Frames of a KITTI tracking label file as truth; occlusion levels 0, 1, 2 become visible shares."""
    frames, last = {}, 0
    for line in path.read_text().splitlines():
        v = line.split()
        last = max(last, int(v[0]))
        if v[2] == "DontCare":
            continue
        x0, y0, x1, y1 = map(float, v[6:10])
        visible = {0: 1.0, 1: 0.6, 2: 0.3}.get(int(v[4]), 0.15)
        box = [x0, y0, x1 - x0, y1 - y0]
        frames.setdefault(int(v[0]), []).append((int(v[1]) + 1, box, visible, box))
    for k in range(0, last + 1, keep_every):
        yield frames.get(k, [])


def read(path):
    """Boxes of a MOT Challenge file by frame: (identity, [x, y, w, h], confidence)."""
    frames = {}
    for line in path.read_text().split():
        v = [float(part) for part in line.split(",")[:7]]
        frames.setdefault(int(v[0]), []).append((int(v[1]), v[2:6], v[6]))
    return frames


class Recorded:
    """Detections that were made before, in the place of [`Detector`]; `poor` makes them worse."""

    def __init__(self, rng, frames, keep_every, dt, like, poor):
        self.rng, self.frames, self.step, self.dt, self.poor = rng, frames, keep_every, dt, poor
        self.number = 1 - keep_every
        right, bottom = (max(box[k] + box[k + 2] for box in like) for k in (0, 1))
        self.clutter = Detector(rng, dt, right, bottom, rng.uniform(0.0, 0.9))
        self.missing = rng.uniform(-1.6, -0.7)
        self.blur = rng.uniform(0.02, 0.07)
        self.objects = {}

    def see(self, truth):
        self.number += self.step
        seen = [[*box, confidence] for _, box, confidence in self.frames.get(self.number, [])]
        if not self.poor:
            return seen
        return [box for box in (self.worsen(box, truth) for box in seen) if box] + self.clutter.see_nothing(truth)

    def worsen(self, box, truth):
        best = max(truth, key=lambda one: iou(one[1], box), default=None)
        identity = best[0] if best and iou(best[1], box) > 0.4 else None
        if identity not in self.objects:
            self.objects[identity] = [Lasting(self.rng, 1, 0.3, self.dt), Lasting(self.rng, 4, 0.4, self.dt)]
        found, slow = self.objects[identity]
        if found.step()[0] < self.missing:
            return None
        x, y, w, h, confidence = box
        e = self.blur * (slow.step() + 0.3 * self.rng.standard_normal(4))
        scale = np.sqrt(w * h)
        x, y = x + w / 2 + e[0] * scale, y + h / 2 + e[1] * scale
        w, h = w * np.exp(1.4 * e[2]), h * np.exp(e[3])
        odds = np.log(max(confidence, 1e-3) / max(1 - confidence, 1e-3)) + self.rng.standard_normal()
        return [x - w / 2, y - h / 2, w, h, 1 / (1 + np.exp(-odds))]


def recorded(out, folder, rng, poor, raw):
    """Writes one recorded sequence again, as a poor detector and a slow camera would have it where `poor`."""
    truth, found = read(folder / "gt.txt"), read(folder / "det.txt")
    like = [box for boxes in truth.values() for _, box, _ in boxes]
    if len(like) < 500:
        return
    info = dict(line.split("=") for line in (folder / "seqinfo.ini").read_text().split() if "=" in line)
    rate, length = float(info["frameRate"]), int(info["seqLength"])
    keep_every = rng.choice([k for k in (1, 1, 2, 3) if k == 1 or rate / k >= 5]) if poor else 1
    frames = ([(i, box, 1.0, box) for i, box, _ in truth.get(k, [])] for k in range(1, length + 1, keep_every))
    detector = Recorded(rng, found, keep_every, keep_every / rate, like, poor)
    write(out, "seen-" + folder.name + "-poor" * poor, rate / keep_every, frames, detector, raw)


def write(out, name, fps, frames, detector, raw):
    name += "-raw" * raw
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    gt, det, count = [], [], 0
    for count, truth in enumerate(frames, 1):
        for identity, (x, y, w, h), visible, _ in truth:
            if visible >= 0.05:
                gt.append(f"{count},{identity},{x:.2f},{y:.2f},{w:.2f},{h:.2f},1,-1,-1,-1")
        for x, y, w, h, confidence in detector.see(truth):
            if raw and confidence < RAW_THRESHOLD:
                continue
            if raw:
                confidence *= 100
            det.append(f"{count},-1,{x:.2f},{y:.2f},{w:.2f},{h:.2f},{confidence:.4f},-1,-1,-1")
    (folder / "gt.txt").write_text("\n".join(gt) + "\n")
    (folder / "det.txt").write_text("\n".join(det) + "\n")
    (folder / "seqinfo.ini").write_text(f"[Sequence]\nname={name}\nframeRate={fps}\nseqLength={count}\n")


# A detector that gives no probabilities is run at the threshold where it finds about as much as it makes up.
RAW_THRESHOLD = 0.4

# people, camera height (m), focal length (px), nearest and farthest (m), pan (degrees/s), frames/s, seconds, detector
SCENES = {
    "street-25": (7, 1.7, 700, (4, 12), 0, 25, 10, 0.8),
    "street-25-poor": (8, 1.6, 650, (4, 14), 0, 25, 10, 0.2),
    "street-dense-25": (14, 1.7, 700, (5, 16), 0, 25, 10, 0.6),
    "street-10": (8, 1.7, 700, (4, 14), 0, 10, 20, 0.6),
    "street-5": (7, 1.7, 700, (5, 14), 0, 5, 30, 0.8),
    "street-a-25": (6, 1.5, 600, (4, 8), 0, 25, 12, 0.7),
    "street-b-25": (8, 2.2, 750, (6, 11), 0, 25, 12, 0.7),
    "street-c-25": (10, 1.7, 650, (5, 10), 0, 25, 12, 0.5),
    "square-25": (16, 5.0, 700, (10, 28), 0, 25, 12, 0.7),
    "square-7": (16, 6.0, 700, (10, 28), 0, 7, 25, 0.7),
    "square-dense-30": (30, 7.0, 750, (12, 32), 0, 30, 10, 0.7),
    "pan-25": (9, 1.7, 600, (4, 16), 12, 25, 12, 0.6),
    "pan-14": (9, 1.7, 600, (4, 16), 8, 14, 15, 0.6),
}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=pathlib.Path)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--kitti", type=pathlib.Path, help="folder label/ of KITTI's tracking benchmark")
    arguments.add_argument("--only", default="", help="only these sequences of KITTI, e.g. 0000,0004")
    arguments.add_argument("--recorded", type=pathlib.Path, help="folder of sequences that a real detector has seen")
    arguments.add_argument("--poor", action="store_true", help="make what was recorded worse")
    arguments.add_argument("--raw", action="store_true", help="scores that are no probabilities")
    given = arguments.parse_args()
    if given.recorded:
        for index, folder in enumerate(sorted(path.parent for path in given.recorded.glob("*/det.txt"))):
            recorded(given.out, folder, np.random.default_rng([given.seed, index]), given.poor, given.raw)
        return
    for index, (name, (people, height, focal, depth, pan, fps, seconds, quality)) in enumerate(SCENES.items()):
        rng = np.random.default_rng([given.seed, index])
        crowd = Crowd(rng, people, height, focal, depth, pan, fps, seconds)
        detector = Detector(rng, 1 / fps, *crowd.size, quality)
        write(given.out, name, fps, crowd.frames(), detector, given.raw)
    only = set(filter(None, given.only.split(",")))
    for path in sorted(given.kitti.glob("*.txt")) if given.kitti else []:
        if only and path.stem not in only:
            continue
        for keep_every in (1, 2):
            fps = 10 // keep_every
            rng = np.random.default_rng([given.seed, 1000 * keep_every + int(path.stem)])
            detector = Detector(rng, 1 / fps, 1242, 375, 0.9, blur=0.6)
            write(given.out, f"kitti-{path.stem}-{fps}", fps, kitti(path, keep_every), detector, given.raw)


if __name__ == "__main__":
    main()
