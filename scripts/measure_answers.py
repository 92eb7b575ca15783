#!/usr/bin/env python3
"""Measures live answering from outside: simulated camera (RTSP) -> kinestream run -> a zenoh subscriber that hears the answers.

Asks the seven standing questions of every window. Prints how old answers are when they leave with a frame, in stream time from
the end of their window (`age`) and from when it was settled (`since_settled`, the age without the settle lag), how long a frame
takes through kinevlm (its share of the pipeline's thread), the frame rate, and questions posed, answered and given up. With
--backend remote a server of its own answers after --delay seconds, to every request alike.

    . scripts/env.sh && $KINESTREAM_PYTHON scripts/measure_answers.py --backend burn --seconds 60
    . scripts/env.sh && $KINESTREAM_PYTHON scripts/measure_answers.py --backend remote --delay 5 --seconds 60
"""

import argparse
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import zenoh

from measure_live import ROOT, Received, compile_messages, free_port, percentile, subscribe

SETTLE_LAG_S = 1.0


class SlowModel(http.server.BaseHTTPRequestHandler):
    """Speaks the OpenAI chat API, slowly."""

    delay_s = 0.0
    asked = 0
    lock = threading.Lock()

    def do_POST(self):
        # It stands for another machine: what it computes is not to slow the engine.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with SlowModel.lock:
            SlowModel.asked += 1
        time.sleep(self.delay_s)
        body = json.dumps({"choices": [{"message": {"role": "assistant", "content": "12 meters"}}]}).encode()
        try:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except BrokenPipeError:
            pass

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    # All of a window's requests come at once.
    request_queue_size = 256


def serve_model(delay_s):
    SlowModel.delay_s = delay_s
    server = Server(("127.0.0.1", 0), SlowModel)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/v1"


def start_camera(binary, work, args):
    log = work / "camera.log"
    camera = subprocess.Popen(
        [binary, "sim", "serve", "--scene", args.scene, "--seed", str(args.seed), "--port", str(free_port()), "--fps", str(args.fps), "--camera-out", work / "camera.toml"],
        stdout=open(log, "w"),
        stderr=subprocess.STDOUT,
    )
    for _ in range(300):
        for word in log.read_text().split():
            if word.startswith("rtsp://") and (work / "camera.toml").exists():
                return camera, word
        if camera.poll() is not None:
            break
        time.sleep(0.1)
    sys.exit(f"the camera did not start:\n{log.read_text()}")


def milliseconds(values):
    shares = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
    return {name: round(1e3 * percentile(values, share), 1) for name, share in shares} if values else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=["geometry", "burn", "remote"], default="burn")
    parser.add_argument("--delay", type=float, default=5.0, help="of the server, seconds, for --backend remote")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--stride", type=float, default=1.0)
    parser.add_argument("--window", type=float, default=10.0)
    parser.add_argument("--scene", default="street-fixed")
    parser.add_argument("--seed", type=int, default=100004, help="which world; the demo's by default")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--questions", default=str(ROOT / "configs" / "questions.toml"))
    parser.add_argument("--binaries", default=os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "debug"))
    parser.add_argument("--keep-log", help="write the engine's log to this file")
    args = parser.parse_args()

    messages, _ = compile_messages()
    binary = pathlib.Path(args.binaries) / "kinestream"
    work = pathlib.Path(tempfile.mkdtemp(prefix="kinestream-answers-"))
    camera, url = start_camera(binary, work, args)
    endpoint = f"tcp/127.0.0.1:{free_port()}"
    remote = ""
    if args.backend == "remote":
        # One inference a window: all of its questions are on their way at once.
        remote = f'\n[camera.remote]\nurl = "{serve_model(args.delay)}"\ntimeout_s = {max(30.0, 3 * args.delay)}\nconcurrency = 128\n'
    config, report = work / "run.toml", work / "report.json"
    config.write_text(
        f"""
[zenoh]
listen = ["{endpoint}"]
multicast_scouting = false

[[camera]]
name = "camera"
source = "{url}"
camera_file = "{work / 'camera.toml'}"
questions = "{pathlib.Path(args.questions).resolve()}"
backend = "{args.backend}"
window_s = {args.window}
stride_s = {args.stride}
settle_lag_s = {SETTLE_LAG_S}
{remote}"""
    )
    log = open(args.keep_log, "w") if args.keep_log else subprocess.DEVNULL
    engine = subprocess.Popen([binary, "run", config, "--duration", str(args.seconds), "--report", report], stdout=log, stderr=log)
    received, session = Received(messages), None
    for _ in range(100):
        if engine.poll() is not None:
            sys.exit(f"the engine ended with {engine.returncode}; --keep-log FILE keeps what it said")
        try:
            session = subscribe(endpoint, messages, received)
            break
        except zenoh.ZError:
            time.sleep(0.2)
    if session is None:
        sys.exit("the engine opened no zenoh endpoint within 20 s")
    engine.wait(timeout=args.seconds + 120)
    session.close()
    camera.kill()

    # Windows of a stream that is not yet as long as they are have less to show.
    answers = [m for _, m in received.answers if m.window.end_s >= args.window]
    # An object that left is answered about until then; the others tell the end of the window.
    ends = {}
    for m in answers:
        ends[m.header.pts_ns] = max(ends.get(m.header.pts_ns, 0.0), m.window.end_s)
    ages = [m.header.pts_ns / 1e9 - m.window.end_s for m in answers if m.window.end_s == ends[m.header.pts_ns]]
    by_source = {}
    for m in answers:
        source = messages.AnswerSource.Name(m.source)
        by_source[source] = by_source.get(source, 0) + 1
    measured = json.loads(report.read_text())["cameras"][0]
    print(
        json.dumps(
            {
                "backend": args.backend,
                "answers": len(answers),
                "by_source": by_source,
                "windows": len({round(end_s, 3) for end_s in ends.values()}),
                "age_ms": milliseconds(ages),
                "since_settled_ms": milliseconds([age - SETTLE_LAG_S for age in ages]),
                "kinevlm_ms": {key: round(measured["stages"]["vlm"][key], 3) for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms")},
                "fps": round(measured["fps"], 2),
                "frames_dropped": measured["drops"],
                "questions": measured.get("questions"),
                "requests": SlowModel.asked if args.backend == "remote" else None,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
