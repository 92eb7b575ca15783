"""Draws the losses of both trainings: `plot.py --run DIR --out FILE.png`."""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder of the logs")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4))
    parts = {"detector": ("loss", "box", "object", "class"), "depth": ("loss", "log", "scale", "edges", "sky", "plane", "gate")}
    for axis, (task, names) in zip(axes, parts.items()):
        log = arguments.run / f"{task}.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        for name in names:
            axis.plot([line["step"] for line in lines], [line.get(name) or float("nan") for line in lines], label=name, linewidth=1)
        axis.set(title=task, xlabel="step", yscale="log")
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(arguments.out, dpi=90)


if __name__ == "__main__":
    main()
