#!/usr/bin/env python3
"""Prints what moves in front of Kinestream's cameras, and the answers to standing questions.

    pip install eclipse-zenoh
    python examples/subscribe.py -e tcp/127.0.0.1:7447

For cameras with encoding=protobuf also compile the messages, and name the folder:

    pip install protobuf grpcio-tools
    python -m grpc_tools.protoc -I proto --python_out=/tmp/messages proto/kinestream/v1/kinestream.proto
    python examples/subscribe.py -e tcp/127.0.0.1:7447 --messages /tmp/messages
"""

import argparse
import json
import sys
import threading
import time

import zenoh


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-e", "--connect", action="append", default=[], help="endpoint, e.g. tcp/127.0.0.1:7447")
    parser.add_argument("-l", "--listen", action="append", default=[], help="endpoint to listen on")
    parser.add_argument("-c", "--config", help="zenoh configuration file")
    parser.add_argument("--no-multicast-scouting", action="store_true", help="do not look for peers by multicast")
    parser.add_argument("--site", default="*", help="only this site")
    parser.add_argument("--camera", default="*", help="only this camera")
    parser.add_argument("--messages", help="folder of the compiled kinestream.proto, for encoding=protobuf")
    parser.add_argument("--count", type=int, help="stop after so many tracks messages")
    parser.add_argument("--timeout", type=float, help="stop after so many seconds; exit code 1 if --count was not reached")
    return parser.parse_args()


def zenoh_config(options):
    config = zenoh.Config.from_file(options.config) if options.config else zenoh.Config()
    if options.connect:
        config.insert_json5("connect/endpoints", json.dumps(options.connect))
    if options.listen:
        config.insert_json5("listen/endpoints", json.dumps(options.listen))
    if options.no_multicast_scouting:
        config.insert_json5("scouting/multicast/enabled", "false")
    return config


def decoder(messages_folder):
    """Returns a function from a zenoh sample to a dict with the field names of the .proto."""
    messages = None
    if messages_folder:
        sys.path.insert(0, messages_folder)
        from google.protobuf.json_format import MessageToDict
        from kinestream.v1 import kinestream_pb2 as messages

    def decode(sample):
        encoding, _, schema = str(sample.encoding).partition(";")
        if encoding == "application/json":
            return json.loads(sample.payload.to_bytes())
        if encoding == "application/protobuf" and messages:
            # The encoding's schema is the message's full name.
            message = getattr(messages, schema.rpartition(".")[2])()
            message.ParseFromString(sample.payload.to_bytes())
            return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        raise ValueError(f"{sample.key_expr}: cannot read {sample.encoding}; for protobuf give --messages")

    return decode


def describe_tracks(tracks):
    for item in tracks["objects"]:
        # `live` is missing when nothing metric is known; `reliable` says whether to trust it.
        state = item.get("live")
        if state is None:
            motion = "no metric state"
        else:
            interval = state["speed_interval_mps"]
            motion = f"{state['speed_mps'] * 3.6:5.1f} km/h ({interval['low'] * 3.6:.1f} to {interval['high'] * 3.6:.1f})"
        doubt = "" if item["reliable"] else f"  not reliable: {item['unreliable_reason']}"
        print(f"  {item['id']:>5} {item['class_name']:<10} {motion}{doubt}")


def main():
    options = arguments()
    decode = decoder(options.messages)
    done = threading.Event()
    seen = 0

    def on_tracks(sample):
        nonlocal seen
        tracks = decode(sample)
        header = tracks["header"]
        # 64-bit integers are strings in proto3 JSON.
        age_ms = (time.time_ns() - int(header["publish_utc_ns"])) / 1e6
        print(f"{sample.key_expr} frame {header['seq']}: {len(tracks['objects'])} objects, sent {age_ms:.1f} ms ago", flush=True)
        describe_tracks(tracks)
        seen += 1
        if options.count and seen >= options.count:
            done.set()

    def on_answer(sample):
        answer = decode(sample)
        print(f"{sample.key_expr} {answer['question_id']}: {answer['text']}", flush=True)

    base = f"kinestream/v1/{options.site}/{options.camera}"
    with zenoh.open(zenoh_config(options)) as session:
        session.declare_subscriber(f"{base}/tracks", on_tracks)
        session.declare_subscriber(f"{base}/answers", on_answer)
        try:
            reached = done.wait(options.timeout)
        except KeyboardInterrupt:
            reached = True
    return 0 if reached or not options.count else 1


if __name__ == "__main__":
    sys.exit(main())
