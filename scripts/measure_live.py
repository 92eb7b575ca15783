#!/usr/bin/env python3
"""Measures the live chain from outside: camera (RTSP) -> kinestream run -> a zenoh subscriber.

Serves a video over RTSP on this machine, runs the chain on it, and counts what a subscriber in another process receives:
the share of frames with a `tracks` message, the latency from capture to reception, answers per standing question, memory
over time. With --freeze a second subscriber is stopped (SIGSTOP) half-way; with --outages N the camera is killed N times for ten
seconds; with --kill-router everything goes through a zenoh router, which is killed half-way and is back ten seconds later.

    . scripts/env.sh && $KINESTREAM_PYTHON scripts/measure_live.py --video FILE --detector FILE --seconds 60
"""

import argparse
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import zenoh

ROOT = pathlib.Path(__file__).resolve().parent.parent


def compile_messages():
    """Compiles the published .proto, as any Python client would."""
    from grpc_tools import protoc

    out = tempfile.mkdtemp(prefix="kinestream-proto-")
    code = protoc.main(
        ["protoc", f"-I{ROOT / 'proto'}", f"--python_out={out}", "kinestream/v1/kinestream.proto"]
    )
    if code:
        sys.exit("cannot compile proto/kinestream/v1/kinestream.proto")
    sys.path.insert(0, out)
    from kinestream.v1 import kinestream_pb2

    return kinestream_pb2, out


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return None


def slope_per_minute(points):
    """Least-squares slope of (seconds, value) points, a minute."""
    n = len(points)
    if n < 2:
        return None
    mean_t = sum(t for t, _ in points) / n
    mean_v = sum(v for _, v in points) / n
    spread = sum((t - mean_t) ** 2 for t, _ in points)
    return 60 * sum((t - mean_t) * (v - mean_v) for t, v in points) / spread


class Received:
    """What arrived, by key."""

    def __init__(self, messages):
        self.messages = messages
        self.lock = threading.Lock()
        self.tracks, self.answers, self.status = [], [], []
        self.undecodable = 0

    def put(self, sample):
        now_ns = time.time_ns()
        kind = str(sample.key_expr).rsplit("/", 1)[1]
        types = {"tracks": self.messages.Tracks, "answers": self.messages.Answer, "status": self.messages.Status}
        if kind not in types:
            return
        payload = bytes(sample.payload)
        try:
            if "json" in str(sample.encoding):
                from google.protobuf import json_format

                message = json_format.Parse(payload.decode(), types[kind]())
            else:
                message = types[kind].FromString(payload)
        except Exception:
            self.undecodable += 1
            return
        with self.lock:
            getattr(self, kind).append((now_ns, message))


def subscribe(endpoint, messages, received):
    config = zenoh.Config()
    config.insert_json5("mode", '"client"')
    config.insert_json5("connect/endpoints", json.dumps([endpoint]))
    config.insert_json5("scouting/multicast/enabled", "false")
    session = zenoh.open(config)
    session.declare_subscriber("kinestream/v1/**", received.put)
    return session


# A router of its own process: zenohd without plugins. Ends when its standard input does.
ROUTER = """
import json, sys, zenoh
config = zenoh.Config()
config.insert_json5("mode", '"router"')
config.insert_json5("listen/endpoints", json.dumps([sys.argv[1]]))
config.insert_json5("scouting/multicast/enabled", "false")
with zenoh.open(config):
    sys.stdin.read()
"""


def start_router(endpoint):
    return subprocess.Popen([sys.executable, "-c", ROUTER, endpoint], stdin=subprocess.PIPE)


def across(tracks, killed_ns, back_ns):
    """Frames a second that the engine counted from the last message before the router's death to the first one after."""
    before = [m.header for at, m in tracks if at < killed_ns]
    after = [m.header for at, m in tracks if at > back_ns]
    if not before or not after:
        return {"heard_again": False}
    gone, back = before[-1], after[0]
    seconds = (back.publish_utc_ns - gone.publish_utc_ns) / 1e9
    return {
        "heard_again_after_s": round((back.publish_utc_ns - back_ns) / 1e9, 2),
        "frames_meanwhile": back.seq - gone.seq,
        "fps_meanwhile": round((back.seq - gone.seq) / seconds, 2),
        "stream_fps_meanwhile": round((back.seq - gone.seq) / ((back.pts_ns - gone.pts_ns) / 1e9), 2),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", required=True)
    parser.add_argument("--detector", required=True)
    parser.add_argument("--questions", default=str(ROOT / "configs" / "questions.toml"))
    parser.add_argument("--threads", type=int, default=0, help="of the detector; 0 takes one per core")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--encoding", choices=["json", "protobuf"], default="json")
    parser.add_argument("--binaries", default=os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "debug"))
    parser.add_argument("--launch", action="store_true", help="run examples/launch_rtsp.sh in place of kinestream run")
    parser.add_argument("--freeze", action="store_true", help="stop a second subscriber half-way")
    parser.add_argument("--outages", type=int, default=0, help="kill the camera so many times, ten seconds each")
    parser.add_argument("--kill-router", action="store_true", help="kill the zenoh router half-way, for ten seconds")
    parser.add_argument("--keep-log", help="write the engine's log to this file")
    args = parser.parse_args()

    messages, compiled = compile_messages()
    binaries = pathlib.Path(args.binaries)
    rtsp_port, zenoh_port = free_port(), free_port()
    url = f"rtsp://127.0.0.1:{rtsp_port}/camera"
    endpoint = f"tcp/127.0.0.1:{zenoh_port}"

    def start_camera():
        return subprocess.Popen([binaries / "examples" / "rtsp_server", args.video, str(rtsp_port)], stdout=subprocess.DEVNULL)

    camera = start_camera()
    work = pathlib.Path(tempfile.mkdtemp(prefix="kinestream-measure-"))
    report, config = work / "report.json", work / "run.toml"
    router = start_router(endpoint) if args.kill_router else None
    reach = f'mode = "client"\nconnect = ["{endpoint}"]' if router else f'listen = ["{endpoint}"]'
    config.write_text(
        f"""
[zenoh]
{reach}
multicast_scouting = false
encoding = "{args.encoding}"

[[camera]]
name = "camera"
source = "{url}"
detector = "{pathlib.Path(args.detector).resolve()}"
questions = "{pathlib.Path(args.questions).resolve()}"
threads = {args.threads}
"""
    )
    log = open(args.keep_log, "w") if args.keep_log else subprocess.DEVNULL
    total = args.seconds + args.outages * 25
    if router and args.launch:
        sys.exit("--kill-router goes with kinestream run, not with --launch")
    command = [binaries / "kinestream", "run", config, "--duration", str(total + 8), "--report", report]
    if args.launch:
        command = [ROOT / "examples" / "launch_rtsp.sh", url, args.detector, endpoint, args.encoding]
    engine = subprocess.Popen(command, stdout=log, stderr=log)
    received = Received(messages)
    session = None
    for _ in range(50):
        if engine.poll() is not None:
            break
        try:
            session = subscribe(endpoint, messages, received)
            break
        except zenoh.ZError:
            time.sleep(0.2)
    if session is None and engine.poll() is None:
        sys.exit("the engine opened no zenoh endpoint within 10 s")
    while not received.tracks and engine.poll() is None:
        time.sleep(0.05)
    if engine.poll() is not None:
        sys.exit(f"the engine ended with {engine.returncode} before the first frame; --keep-log FILE keeps what it said")

    frozen = None
    if args.freeze:
        frozen = subprocess.Popen([sys.executable, str(ROOT / "examples" / "subscribe.py"), "-e", endpoint, "--messages", compiled], stdout=subprocess.DEVNULL)

    outages, memory = [], []
    router_killed_ns = router_back_ns = None
    began = time.time()
    stopped = False
    next_outage = began + 10
    while time.time() - began < total and engine.poll() is None:
        time.sleep(0.5)
        memory.append((time.time() - began, resident_mib(engine.pid)))
        if frozen and not stopped and time.time() - began > args.seconds / 2:
            frozen.send_signal(signal.SIGSTOP)
            stopped = True
        if router and router_killed_ns is None and time.time() - began > args.seconds / 2:
            router.kill()
            router.wait()
            router_killed_ns = time.time_ns()
        if router_killed_ns and router_back_ns is None and time.time_ns() - router_killed_ns > 10e9:
            router = start_router(endpoint)
            router_back_ns = time.time_ns()
        if len(outages) < args.outages and time.time() > next_outage:
            camera.kill()
            camera.wait()
            killed_ns = time.time_ns()
            time.sleep(10)
            camera = start_camera()
            back_ns = time.time_ns()
            outages.append((killed_ns, back_ns))
            next_outage = time.time() + 10
    ended = time.time()
    alive = engine.poll() is None
    if frozen:
        frozen.send_signal(signal.SIGCONT)
        frozen.kill()
    if args.launch:
        engine.terminate()
    engine.wait(timeout=60)
    session.close()
    camera.kill()
    if router:
        router.kill()

    tracks = [(at, m) for at, m in received.tracks if began <= at / 1e9 <= ended and m.part == 0]
    seqs = sorted({m.header.seq for _, m in tracks})
    latencies = [(at - m.header.capture_utc_ns) / 1e6 for at, m in tracks if m.header.HasField("capture_utc_ns")]
    pts = sorted({m.header.pts_ns for _, m in tracks})
    steps = sorted(b - a for a, b in zip(pts, pts[1:]))
    frame_ns = steps[len(steps) // 2] if steps else None
    expected = round((pts[-1] - pts[0]) / frame_ns) + 1 if frame_ns else 0
    answers = {}
    for _, m in received.answers:
        answers[m.question_id] = answers.get(m.question_id, 0) + 1
    half = [t for t in ((at / 1e9 - began) for at, _ in tracks)]
    result = {
        "engine_alive": alive,
        "encoding": args.encoding,
        "tracks": len(tracks),
        "frames_expected": expected,
        "share": round(len(pts) / expected, 4) if expected else None,
        "seq_share": round(len(seqs) / (seqs[-1] - seqs[0] + 1), 4) if seqs else None,
        "undecodable": received.undecodable,
        "clock": sorted({m.header.clock_source for _, m in tracks}),
        "latency_ms": {p: round(percentile(latencies, s), 1) for p, s in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))} if latencies else None,
        "fps_first_half": round(sum(t < args.seconds / 2 for t in half) / (args.seconds / 2), 2),
        "fps_second_half": round(sum(t >= args.seconds / 2 for t in half) / (args.seconds / 2), 2) if not args.outages else None,
        "answers": answers,
        "rss_mib": {"first": round(memory[0][1], 1), "last": round(memory[-1][1], 1)},
        "rss_slope_mib_per_minute_last_40_s": round(slope_per_minute([p for p in memory if p[0] > memory[-1][0] - 40]), 2),
        "drops": {drop.name: drop.count for drop in received.status[-1][1].drops} if received.status else None,
        "router": across(tracks, router_killed_ns, router_back_ns) if router_back_ns else None,
        "outages": [],
        "report": json.loads(report.read_text()) if report.exists() else None,
    }
    for killed_ns, back_ns in outages:
        told = [at for at, m in received.status if killed_ns < at and m.state in (messages.ENGINE_STATE_STALLED, messages.ENGINE_STATE_RETRYING)]
        first = [at for at, _ in received.tracks if at > back_ns]
        result["outages"].append(
            {
                "status_after_s": round((told[0] - killed_ns) / 1e9, 2) if told else None,
                "first_frame_after_s": round((first[0] - back_ns) / 1e9, 2) if first else None,
            }
        )
    if args.outages:
        result["rss_mib"]["by_cycle"] = [round(v, 1) for i, (_, v) in enumerate(memory) if i % 50 == 0]
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
