"""Runs inside a test guest as its first process and serves commands from a virtio-serial port.

One JSON object a line each way. Requests: {"id", "run": shell text, "timeout": seconds} or
{"id", "put": path, "data": base64, "append": bool, "mode": int} or {"id", "get": path}.
Answers: {"id", "rc", "out": base64}; rc 124 means that the command ran out of time and was killed.
Output goes to a file and not to a pipe, so a command may leave background processes behind.
"""

import base64
import glob
import json
import os
import select
import signal
import subprocess
import time

PORT_NAME = "sealwire.agent"


def open_port():
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for name in glob.glob("/sys/class/virtio-ports/*/name"):
            with open(name) as file:
                if file.read().strip() == PORT_NAME:
                    device = "/dev/" + name.split("/")[-2]
                    return open(device, "r+b", buffering=0)
        time.sleep(0.05)
    raise SystemExit("agent: no virtio-serial port")


def run(text, timeout):
    with open("/tmp/.agent-out", "w+b") as output:
        process = subprocess.Popen(["/bin/bash", "-c", text], stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        # Not wait(timeout): that sleeps up to 50 ms between its looks, longer than most commands take.
        ended = os.pidfd_open(process.pid)
        if select.select([ended], [], [], timeout)[0]:
            code = process.wait()
        else:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = 124
        os.close(ended)
        output.seek(0)
        return code, output.read()


def reap():
    # As the first process we inherit every orphan.
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def serve(request):
    if "run" in request:
        return run(request["run"], request["timeout"])
    if "put" in request:
        with open(request["put"], "ab" if request.get("append") else "wb") as file:
            file.write(base64.b64decode(request["data"]))
        os.chmod(request["put"], request.get("mode", 0o644))
        return 0, b""
    with open(request["get"], "rb") as file:
        return 0, file.read()


def write_all(port, data):
    while data:
        data = data[port.write(data):]


def main():
    port = open_port()
    write_all(port, b'{"ready": true}\n')
    pending = b""
    while True:
        chunk = port.read(65536)
        if not chunk:  # nobody at the other end yet
            time.sleep(0.05)
            continue
        pending += chunk
        while b"\n" in pending:
            line, _, pending = pending.partition(b"\n")
            request = json.loads(line)
            try:
                code, output = serve(request)
            except Exception as error:  # reported to the test, which decides
                code, output = 125, str(error).encode()
            reap()
            answer = {"id": request["id"], "rc": code, "out": base64.b64encode(output).decode()}
            write_all(port, json.dumps(answer).encode() + b"\n")


main()
