#!/usr/bin/env python3
"""Searches the tracker's settings one after another for the best scores over folders of sequences.

    tune_tracker.py SCORE_TRACKER FOLDER... [--start FILE.toml] [--rounds N] [--only NAME,...]

SCORE_TRACKER is the built example score_tracker, FOLDERs come from tracking_scenes.py (several seeds). What is
maximised is (HOTA + IDF1) / 2, averaged over sequences, crowds and KITTI weighing the same. Prints each improvement.
"""

import argparse
import pathlib
import re
import subprocess
import tempfile
import tomllib

STEPS = {
    "high_confidence": [0.3, 0.4, 0.5, 0.6, 0.7],
    "low_confidence": [0.05, 0.1, 0.2, 0.3],
    "birth_confidence": [0.4, 0.5, 0.6, 0.7, 0.8],
    "confirm_existence": [0.4, 0.5, 0.6, 0.7, 0.8],
    "evidence": [0.45, 0.55, 0.65, 0.75],
    "existence_decay_s": [0.5, 1.0, 2.0],
    "tentative_gap_s": [0.0, 0.1, 0.2, 0.4],
    "buffer_first": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5],
    "buffer_second": [0.2, 0.3, 0.4, 0.5, 0.7, 0.9],
    "buffer_sigma": [0.0, 0.5, 1.0, 2.0],
    "min_overlap_first": [0.05, 0.1, 0.2, 0.3, 0.4],
    "min_overlap_low": [0.2, 0.3, 0.4, 0.5],
    "min_overlap_second": [0.05, 0.1, 0.2, 0.3],
    "momentum_weight": [0.0, 0.1, 0.2, 0.3, 0.5, 0.8],
    "momentum_s": [0.1, 0.2, 0.3, 0.5, 0.8],
    "height_weight": [0.0, 0.1, 0.2, 0.4, 0.8, 1.2],
    "unseen_penalty": [0.0, 0.05, 0.1, 0.2, 0.4],
    "duplicate_overlap": [0.4, 0.5, 0.6, 0.7, 0.8, 1.0],
    "measurement_sigma": [0.03, 0.045, 0.06, 0.08, 0.1],
    "acceleration_sigma": [0.3, 0.5, 0.7, 1.0, 1.5, 2.0],
    "growth_sigma": [0.1, 0.2, 0.3, 0.5],
    "initial_speed_sigma": [0.5, 1.0, 1.5, 2.0],
    "velocity_decay_s": [0.5, 1.0, 2.0, 4.0],
    "growth_decay_s": [0.15, 0.3, 0.5, 1.0],
    "smoothing": [0.0, 0.3, 0.5, 0.7, 1.0],
}


def score(program, folders, settings):
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write("".join(f"{key} = {str(value).lower()}\n" for key, value in settings.items()))
        file.flush()
        kinds = {"crowd": [], "kitti": []}
        for folder in folders:
            text = subprocess.run([program, folder, file.name], check=True, capture_output=True, text=True).stdout
            for name, hota, idf1 in re.findall(r"^(\S+) +HOTA ([\d.]+) .*IDF1 ([\d.]+)", text, re.M):
                if name != "combined":
                    kind = "kitti" if name.startswith("kitti") else "crowd"
                    kinds[kind].append((float(hota) + float(idf1)) / 2)
    means = {kind: sum(values) / len(values) for kind, values in kinds.items() if values}
    return sum(means.values()) / len(means), means


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("program")
    arguments.add_argument("folders", nargs="+")
    arguments.add_argument("--start", type=pathlib.Path)
    arguments.add_argument("--rounds", type=int, default=1)
    arguments.add_argument("--only", default="")
    arguments.add_argument("--margin", type=float, default=1e-4, help="least improvement that counts")
    given = arguments.parse_args()
    settings = tomllib.loads(given.start.read_text()) if given.start else {}
    best, means = score(given.program, given.folders, settings)
    print(f"{best:.4f} {means} at the start", flush=True)
    names = given.only.split(",") if given.only else list(STEPS)
    for _ in range(given.rounds):
        before = best
        for name in names:
            for value in STEPS[name]:
                if settings.get(name) == value:
                    continue
                tried = {**settings, name: value}
                found, means = score(given.program, given.folders, tried)
                if found > best + given.margin:
                    best, settings = found, tried
                    print(f"{best:.4f} {name} = {value}  {means}", flush=True)
        if best - before < 5e-4:
            break
    print("".join(f"{key} = {str(value).lower()}\n" for key, value in settings.items()))


if __name__ == "__main__":
    main()
