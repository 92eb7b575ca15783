#!/usr/bin/env python3
"""Asks Kinestream's cameras a question about motion, in words.

    pip install eclipse-zenoh
    python examples/ask.py -e tcp/127.0.0.1:7447 north "How far did object 3 travel in the last 10 seconds?"

Exit code 0: at least one answer has a value; 2: none has, or no camera replies.
"""

import argparse
import json
import sys

import zenoh

# The answer's value is one of these fields; the others are missing.
VALUES = ("distance_m", "speed_mps", "clock_hour", "time_range", "object_id", "yes_no")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("camera", help='the camera\'s name; "*" asks all')
    parser.add_argument("question", help="the question in words")
    parser.add_argument("-e", "--connect", action="append", default=[], help="endpoint, e.g. tcp/127.0.0.1:7447")
    parser.add_argument("-c", "--config", help="zenoh configuration file")
    parser.add_argument("--no-multicast-scouting", action="store_true", help="do not look for peers by multicast")
    parser.add_argument("--site", default="*", help="only this site")
    parser.add_argument("--timeout", type=float, default=8.0, help="how long the camera may take, seconds")
    return parser.parse_args()


def main():
    options = arguments()
    config = zenoh.Config.from_file(options.config) if options.config else zenoh.Config()
    if options.connect:
        config.insert_json5("connect/endpoints", json.dumps(options.connect))
    if options.no_multicast_scouting:
        config.insert_json5("scouting/multicast/enabled", "false")

    # The reply comes as JSON whatever encoding the camera publishes in.
    selector = f"kinestream/v1/{options.site}/{options.camera}/ask?timeout={options.timeout};encoding=json"
    answered = replied = False
    with zenoh.open(config) as session:
        for reply in session.get(selector, payload=options.question, timeout=options.timeout + 2):
            replied = True
            if reply.ok is None:
                print(reply.err.payload.to_string(), file=sys.stderr)
                continue
            for answer in json.loads(reply.ok.payload.to_bytes())["answers"]:
                value = next((name for name in VALUES if name in answer), None)
                answered |= value is not None
                print(answer["text"], f"[{value} = {answer[value]}]" if value else "")
    if not replied:
        print(f"no camera answers at {selector}", file=sys.stderr)
    return 0 if answered else 2


if __name__ == "__main__":
    sys.exit(main())
