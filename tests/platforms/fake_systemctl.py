#!/usr/bin/env python3
"""A stand-in for systemctl where no systemd runs: units in a JSON file, shown in systemctl's own format.

What it imitates, after systemctl(1), systemd.service(5) and org.freedesktop.systemd1(5):
- `show` prints Key=Value lines of the properties asked for, in systemd's order and not in that of the question, an
  empty line between units; a unit that does not exist is shown with LoadState=not-found, and is no failure;
  timestamps are microseconds of CLOCK_MONOTONIC, 0 for never; ExecMainCode is a CLD_* number of wait(2).
- `restart --no-block` queues a job and returns; a failed start shows in the unit, not in the exit code; a unit that has
  hit its start limit does not start until `reset-failed`.
- Refusals are told on stderr, with exit code 1, or 5 for a unit that does not exist.

The file named by FAKE_SYSTEMCTL holds {"units": {name: {property: value}}, "calls": [...], "refuse": {verb: text},
"slow": seconds, "shows_until_up": n}.
"""

import json
import os
import sys
import time
import uuid
from pathlib import Path

ORDER = (
    "Type", "Restart", "NRestarts", "MainPID", "Result", "ExecMainStartTimestampMonotonic",
    "ExecMainExitTimestampMonotonic", "ExecMainPID", "ExecMainCode", "ExecMainStatus", "Id", "LoadState", "ActiveState",
    "SubState", "InvocationID",
)  # fmt: skip
BLANK = {
    "NRestarts": "0", "MainPID": "0", "Result": "success", "ExecMainStartTimestampMonotonic": "0",
    "ExecMainExitTimestampMonotonic": "0", "ExecMainPID": "0", "ExecMainCode": "0", "ExecMainStatus": "0",
    "ActiveState": "inactive", "SubState": "dead", "InvocationID": "",
}  # fmt: skip
FILE = Path(os.environ.get("FAKE_SYSTEMCTL") or Path(__file__).with_name("systemctl.json"))


def show(state: dict, arguments: list[str]) -> int:
    wanted = arguments[0].removeprefix("--property=").split(",")
    blocks = []
    for name in arguments[arguments.index("--") + 1 :]:
        unit = state["units"].get(name)
        if unit and unit.get("coming"):
            unit["coming"] -= 1
            if unit["coming"] == 0:
                up(unit)
        known = {**BLANK, "Id": name, "LoadState": "loaded" if unit is not None else "not-found", **(unit or {})}
        blocks.append("".join(f"{key}={known[key]}\n" for key in ORDER if key in wanted and key in known))
    sys.stdout.write("\n".join(blocks))
    return 0


def up(unit: dict) -> None:
    started = str(time.monotonic_ns() // 1000)
    unit |= {**BLANK, "ActiveState": "active", "SubState": "running", "MainPID": "4712"}
    unit |= {"InvocationID": uuid.uuid4().hex, "ExecMainStartTimestampMonotonic": started}


def restart(state: dict, arguments: list[str]) -> int:
    unit = state["units"].get(arguments[-1])
    if unit is None:
        sys.stderr.write(f"Failed to restart {arguments[-1]}: Unit {arguments[-1]} not found.\n")
        return 5
    if unit.get("Result") == "start-limit-hit":
        return 0
    if state.get("shows_until_up"):
        unit |= {"ActiveState": "deactivating", "SubState": "stop-sigterm", "coming": state["shows_until_up"]}
    else:
        up(unit)
    return 0


def main() -> int:
    state = json.loads(FILE.read_text())
    arguments = [a for a in sys.argv[1:] if a not in ("--no-pager", "--no-ask-password", "--user")]
    time.sleep(state.get("slow", 0))
    verb = arguments.pop(0)
    state.setdefault("calls", []).append([verb, *arguments, *(["--user"] if "--user" in sys.argv else [])])
    state["environment"] = sorted(os.environ)
    if verb in state.get("refuse", {}):
        sys.stderr.write(state["refuse"][verb] + "\n")
        code = 1
    elif verb == "show":
        code = show(state, arguments)
    elif verb == "restart":
        code = restart(state, arguments)
    elif verb == "reset-failed":
        state["units"][arguments[-1]] |= {"ActiveState": "inactive", "SubState": "dead", "Result": "success"}
        code = 0
    else:
        sys.stderr.write(f"Unknown command verb {verb}.\n")
        code = 1
    FILE.write_text(json.dumps(state))
    return code


if __name__ == "__main__":
    sys.exit(main())
