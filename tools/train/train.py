"""Trains one of the default nets on a pool of simulated pictures.

`train.py detector|depth --pool DIR --out DIR --minutes M` runs for M minutes of training, whatever the machine's speed:
the learning rate falls along a cosine of the time spent, so what comes out is always annealed. A checkpoint is written
every few minutes; run the same command again to go on after an interruption. Seeded, yet two runs differ where the
machine's speed does.
"""

import argparse
import json
import math
import os
import queue
import random
import threading
import time
from copy import deepcopy
from pathlib import Path

import cv2
import numpy as np
import torch

import augment
import depth_net
import detector_net
import losses
from layers import folded
from pool import Pool


class DetectorTask:
    name = "detector"

    def __init__(self):
        self.net = detector_net.Detector()
        self.cells, self.strides = detector_net.grid()

    def sample(self, pool: Pool, rng: random.Random):
        return augment.for_detector(pool.draw(rare=0.3), rng, (detector_net.WIDTH, detector_net.HEIGHT))

    def batch(self, drawn: list):
        pictures = torch.from_numpy(np.stack([item[0] for item in drawn]))
        return pictures, [tuple(torch.from_numpy(part) for part in item[1:]) for item in drawn]

    def loss(self, net, batch):
        pictures, targets = batch
        # Interleaved pictures are channels-last planes already.
        x = pictures.permute(0, 3, 1, 2).float() * detector_net.INPUT_SCALE
        with torch.autocast("cpu", torch.bfloat16):
            raw = net(x)
        return losses.detector_loss(raw.float(), targets, self.cells, self.strides)


class DepthTask:
    name = "depth"

    def __init__(self):
        self.net = depth_net.Depth()

    def sample(self, pool: Pool, rng: random.Random):
        return augment.for_depth(pool.draw(), rng, (depth_net.WIDTH, depth_net.HEIGHT))

    def batch(self, drawn: list):
        return tuple(torch.from_numpy(np.stack([item[part] for item in drawn])) for part in range(5))

    def loss(self, net, batch):
        pictures, intrinsics, truth, *ground = batch
        x = pictures.permute(0, 3, 1, 2).float() * (depth_net.INPUT_SCALE / 255)
        with torch.autocast("cpu", torch.bfloat16):
            answer = net(x, intrinsics)
        return losses.depth_loss(*answer, truth, *ground)


TASKS = {"detector": DetectorTask, "depth": DepthTask}


def loader(task, pool: Pool, rng: random.Random, size: int, batches: queue.Queue, stop: threading.Event) -> None:
    try:
        while not stop.is_set():
            batch = task.batch([task.sample(pool, rng) for _ in range(size)])
            while not stop.is_set():
                try:
                    batches.put(batch, timeout=0.5)
                    break
                except queue.Full:
                    continue
    except BaseException as error:
        batches.put(error)
        raise


# Learning rate once batch norms are folded, as a share of the one before.
SETTLED_RATE = 0.16


def adam(net: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
    decayed = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.03}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99))


def settle(net: torch.nn.Module) -> torch.nn.Module:
    """The net with its batch norms folded into the convolutions, to be trained further without them.

    The statistics of a few pictures are noise to what a picture as a whole says, the scale of its depth above all.
    """
    return folded(net.eval()).to(memory_format=torch.channels_last).train()


def averaged(average: torch.nn.Module, net: torch.nn.Module, keep: float) -> None:
    """Moves the running average of the weights towards the net's."""
    with torch.no_grad():
        mine, theirs = average.state_dict(), net.state_dict()
        for name, value in mine.items():
            if value.dtype.is_floating_point:
                value.lerp_(theirs[name], 1 - keep)
            else:
                value.copy_(theirs[name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint and log")
    parser.add_argument("--minutes", type=float, required=True, help="time of training in all, resumed runs included")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="learning rate at its peak")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--settle", type=float, default=0.5, help="share of the time after which batch norms are folded into the convolutions"
    )
    parser.add_argument("--start-at", type=int, default=900, help="samples to wait for before the first step")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(0)
    torch.manual_seed(arguments.seed)
    task = TASKS[arguments.task]()
    net = task.net.to(memory_format=torch.channels_last).train()
    average = deepcopy(net)
    optimiser = adam(net, arguments.rate)

    arguments.out.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.out / f"{task.name}.pt"
    step, spent, settled, settled_at = 0, 0.0, False, 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        settled = state["settled"]
        if settled:
            net, average = settle(net), settle(average)
            optimiser = adam(net, arguments.rate)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
        print(f"goes on at step {step}, after {spent / 60:.1f} min", flush=True)

    def save() -> None:
        state = {"net": net.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
        part = checkpoint.with_suffix(".part")
        torch.save({**state, "step": step, "spent": spent, "settled": settled}, part)
        os.replace(part, checkpoint)

    while len(list(arguments.pool.glob("*.shard"))) * 64 < arguments.start_at:
        time.sleep(2)
    rng = random.Random(arguments.seed * 1_000_003 + step)
    pool = Pool(arguments.pool, arguments.seed * 7919 + step)
    batches: queue.Queue = queue.Queue(4)
    stop = threading.Event()
    thread = threading.Thread(
        target=loader, args=(task, pool, rng, arguments.batch, batches, stop), name="loader", daemon=True
    )
    thread.start()

    budget = arguments.minutes * 60
    sums: dict[str, float] = {}
    counted, saved_at, logged_at, last = 0, spent, spent, time.monotonic()
    while spent < budget:
        batch = batches.get()
        if isinstance(batch, BaseException):
            raise batch
        progress = spent / budget
        if progress >= arguments.settle and not settled:
            net = settle(average)
            average = deepcopy(net)
            optimiser = adam(net, arguments.rate)
            settled, settled_at = True, step
        # Without batch norms larger steps undo what was learned.
        peak = arguments.rate * (SETTLED_RATE if settled else 1.0)
        rate = peak * max(0.01, 0.5 * (1 + math.cos(math.pi * progress))) * min(1.0, (step - settled_at + 1) / 300)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss, parts = task.loss(net, batch)
        if not torch.isfinite(loss):
            raise RuntimeError(f"loss at step {step} is not finite: {parts}")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        step += 1
        averaged(average, net, min(0.998, (step + 1) / (step + 20)))
        now = time.monotonic()
        spent, last = spent + now - last, now
        counted += 1
        for name, value in {"loss": loss.item(), **parts}.items():
            sums[name] = sums.get(name, 0.0) + value
        if spent - logged_at > 20 or spent >= budget:
            means = {name: round(value / counted, 4) for name, value in sums.items()}
            speed = counted * arguments.batch / (spent - logged_at)
            line = {"step": step, "minutes": round(spent / 60, 2), "rate": round(rate, 6), **means}
            line |= {"pictures_per_s": round(speed, 1), "pool": len(pool.shards) * 64, "ready": batches.qsize()}
            with (arguments.out / f"{task.name}.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            print(line, flush=True)
            sums, counted, logged_at = {}, 0, spent
        if spent - saved_at > 120:
            save()
            saved_at = spent
    stop.set()
    save()


if __name__ == "__main__":
    main()
