#!/usr/bin/env python3
"""Searches the tracker's settings one after another for the best scores over folders of sequences.

    tune_tracker.py SCORE_TRACKER FOLDER... [--start FILE.toml] [--rounds N] [--only NAME,...] [--margin M] [--most-loss L]

SCORE_TRACKER is the built example score_tracker, FOLDERs come from tracking_scenes.py (several seeds). What is
maximised is (HOTA + IDF1) / 2, averaged over sequences, the kinds (crowds, KITTI, people and vehicles that a real
detector saw, these also --poor, all with and without --raw) weighing the same. A value is changed only where the mean gains at least --margin and no kind loses more than --most-loss, so that
what suits one kind is not paid for by another. Prints each improvement. With --rounds 0 it only scores.
"""

import argparse
import concurrent.futures
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
    "birth_doubt": [0.0, 0.3, 0.6, 0.8],
    "occlusion_noise": [0.0, 1.0, 2.0, 3.0, 5.0],
    "measurement_sigma": [0.03, 0.045, 0.06, 0.08, 0.1],
    "acceleration_sigma": [0.3, 0.5, 0.7, 1.0, 1.5, 2.0],
    "growth_sigma": [0.1, 0.2, 0.3, 0.5],
    "initial_speed_sigma": [0.5, 1.0, 1.5, 2.0],
    "velocity_decay_s": [0.5, 1.0, 2.0, 4.0],
    "growth_decay_s": [0.15, 0.3, 0.5, 1.0],
    "smoothing": [0.0, 0.15, 0.3, 0.5, 0.7, 1.0],
}


def score_folder(program, folder, file):
    text = subprocess.run([program, folder, file], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^(\S+) +HOTA ([\d.]+) .*IDF1 ([\d.]+)", text, re.M)
    return [(name, float(hota), float(idf1)) for name, hota, idf1 in found if name != "combined"]


def kind_of(sequence):
    kind = "kitti" if sequence.startswith("kitti") else "crowd"
    if sequence.startswith("seen"):
        kind = ("vehicles" if "vehicles" in sequence else "people") + "-poor" * ("-poor" in sequence)
    return kind + "-raw" * sequence.endswith("-raw")


def score(program, folders, settings):
    """What is maximised, and (HOTA, IDF1) by kind."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write("".join(f"{key} = {str(value).lower()}\n" for key, value in settings.items()))
        file.flush()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            scored = list(pool.map(lambda folder: score_folder(program, folder, file.name), folders))
    kinds = {}
    for name, hota, idf1 in (row for rows in scored for row in rows):
        kinds.setdefault(kind_of(name), []).append((hota, idf1))
    means = {kind: tuple(round(sum(v) / len(v), 4) for v in zip(*values)) for kind, values in sorted(kinds.items())}
    return sum(sum(mean) / 2 for mean in means.values()) / len(means), means


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("program")
    arguments.add_argument("folders", nargs="+")
    arguments.add_argument("--start", type=pathlib.Path)
    arguments.add_argument("--rounds", type=int, default=1)
    arguments.add_argument("--only", default="")
    arguments.add_argument("--margin", type=float, default=2e-3, help="least improvement that counts")
    arguments.add_argument("--most-loss", type=float, default=1e-3, help="of any one kind")
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
                found, tried_means = score(given.program, given.folders, tried)
                loss = max(sum(means[kind]) - sum(tried_means[kind]) for kind in means) / 2
                if found >= best + given.margin and loss <= given.most_loss:
                    best, means, settings = found, tried_means, tried
                    print(f"{best:.4f} {name} = {value}  {means}", flush=True)
        if best - before < 5e-4:
            break
    print("".join(f"{key} = {str(value).lower()}\n" for key, value in settings.items()))


if __name__ == "__main__":
    main()
