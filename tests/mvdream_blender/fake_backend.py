# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend's HTTP interface without the work. The prompt says what happens:

"" is refused, "fail ..." fails ("fail once ..." only the first time), "mistake ..." fails for good,
"slow ..." runs until it is cancelled, "die once ..." kills the server the first time. Anything else is done
after a few looks: with a box, or with pictures where views were asked for. Of a model to be downloaded the
name says it. Run as a program it takes the backend's command line.
"""

import argparse
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

sys.path.insert(0, str(Path(__file__).parent))
from small_glb import box, png

VERSION = "0.1.0"
LOOKS = 4
PICTURES = {"views.png": (9, 9, 9)} | {f"view-{a:03d}.png": (0, 0, 50 + a // 2) for a in (0, 90, 180, 270)}


MODELS = {
    "small": {"title": "Small", "about_bytes": 15_000_000, "licence": "GPL"},
    "mvdream-sd21": {
        "title": "Published",
        "about_bytes": 5_200_000_000,
        "source": "a/b/c.pt",
        "licence": "OpenRAIL",
        "licence_url": "https://example.org",
    },
    "mine": {"title": "My own"},
}


class FakeBackend:
    """Jobs in a folder, so that they survive the server."""

    def __init__(self, folder: Path, token: str, version: str = VERSION):
        self.folder, self.token, self.version = folder, token, version
        self.requests: list[tuple[str, str]] = []
        self.one_at_a_time = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def start(self) -> "FakeBackend":
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def jobs(self) -> list[dict]:
        return [json.loads(file.read_text()) for file in sorted(self.folder.glob("job*.json"), reverse=True)]

    def save(self, job: dict) -> dict:
        beside = self.folder / "writing"
        beside.write_text(json.dumps(job))
        beside.replace(self.folder / f"{job['id']}.json")
        return job

    def answer(self, method: str, path: str, body: dict | None) -> tuple[int, object]:
        parts = path.strip("/").split("/")[1:]
        if parts == ["health"]:
            running = sum(job["status"] == "running" for job in self.jobs())
            return 200, {"status": "ok", "version": self.version, "jobs_running": running}
        if parts == ["shutdown"]:
            threading.Thread(target=self.server.shutdown, daemon=True).start()
            return 202, {"status": "stopping"}
        if parts[0] == "models":
            return self.remove_model(unquote(parts[1])) if method == "DELETE" else (200, self.models())
        if parts == ["jobs"]:
            return self.submit(body) if method == "POST" else (200, {"jobs": self.jobs()})
        file = self.folder / f"{parts[1]}.json"
        if not file.exists():
            return 404, {"detail": f"There is no job {parts[1]!r}."}
        job = json.loads(file.read_text())
        if method == "DELETE":
            if job["status"] == "running":
                return 409, {"detail": "The job is running; cancel it before you delete it."}
            file.rename(file.with_suffix(".deleted"))
            return 200, None
        if parts[2:] == ["cancel"]:
            if job["status"] in ("done", "failed"):
                return 409, {"detail": "The job is over."}
            return 200, self.save(job | {"status": "cancelled"})
        if parts[2:] == ["resume"]:
            return 200, self.save(job | {"status": "running", "error": None})
        if parts[2:3] == ["files"]:
            if parts[3] not in job["files"]:
                return 404, {"detail": "There is no such file."}
            colour = PICTURES.get(parts[3], (0, 60 * job["step"] % 256, 0))
            made_by = job["settings"]["model"].replace("auto", "small")
            return 200, box(model=made_by) if parts[3] == "mesh.glb" else png(colour)
        return 200, self.look(job)

    def models(self) -> list[dict]:
        there = {file.name.removeprefix("model ") for file in self.folder.glob("model *")} | {"small", "mine"}
        return [
            values | {"name": name, "installed": name in there, "removable": name in there - {"small"}}
            for name, values in MODELS.items()
        ]

    def remove_model(self, name: str) -> tuple[int, object]:
        file = self.folder / f"model {name}"
        if not file.exists():
            return 422, {"detail": f"There is no model {name!r}."}
        file.unlink()
        return 200, None

    def submit(self, body: dict) -> tuple[int, object]:
        settings = body["settings"]
        if body["kind"] == "download":
            settings = settings | {"prompt": settings["name"]}
        if not settings["prompt"].strip():
            return 422, {"detail": "The prompt is empty: say what to make."}
        job = {
            "id": f"job{len(list(self.folder.glob('job*'))) + 1}",
            "kind": body["kind"],
            "status": "queued",
            "settings": {"model": "auto"} | settings,
        }
        job |= {
            "stage": "",
            "step": 0,
            "steps": LOOKS,
            "progress": 0.0,
            "seconds_left": None,
            "message": "",
            "error": None,
        }
        return 201, self.save(job | {"files": []})

    def look(self, job: dict) -> dict:
        """One step further each time somebody asks."""
        if job["status"] not in ("queued", "running"):
            return job
        prompt = job["settings"]["prompt"]
        step = job["step"] + 1
        job |= {
            "status": "running",
            "stage": {"views": "sample", "download": "download"}.get(job["kind"], "distil"),
            "step": step,
            "progress": min(1.0, step / LOOKS),
            "seconds_left": 9.0,
        }
        job["files"] = ["preview.png"] if job["kind"] == "generate" else []
        if job["kind"] == "download":
            job |= {"steps": 0, "message": f"Downloading c.pt: {step}.00 GB of 5.20 GB, 6:40 min left"}
        if prompt.startswith("slow"):
            job["progress"] = 0.5
        elif prompt.startswith("fail") and step >= 2:
            job |= {"status": "failed", "error": "The disk is full: make room."}
            if prompt.startswith("fail once"):
                job["settings"]["prompt"] = "resumed"
        elif prompt.startswith("mistake") and step >= 2:
            job |= {"status": "failed", "error": "The colour is wrong.", "resumable": False}
        elif prompt.startswith("die once") and step == 2:
            self.save(job)
            sys.stderr.write("killed on purpose\n")
            sys.stderr.flush()
            os._exit(9)
        elif step >= LOOKS:
            made = {"views": [*PICTURES], "download": []}.get(job["kind"], ["preview.png", "mesh.glb"])
            if job["kind"] == "download":
                (self.folder / f"model {prompt}").touch()
            job |= {"status": "done", "files": made, "seconds_left": 0.0}
        return self.save(job)


def _handler(backend: FakeBackend):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self):
            backend.requests.append((self.command, self.path))
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            if self.headers["Authorization"] != f"Bearer {backend.token}":
                status, answer = 401, {"detail": "no"}
            else:
                with backend.one_at_a_time:
                    status, answer = backend.answer(self.command, self.path, body)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = respond

        def log_message(self, *_):
            pass

    return Handler


def hold(file: Path):
    """The lock that a backend holds while it lives, as an open file."""
    import fcntl  # not on Windows, where no test starts this as a process

    opened = file.open("ab")
    fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return opened


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-m")
    parser.add_argument("command")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--port")
    parser.add_argument("--exit-when-idle")
    parser.add_argument("--discard", action="append", default=[])
    arguments = parser.parse_args()
    assert (arguments.m, arguments.command, arguments.port) == ("backend", "serve", "0")
    token = os.environ["MVDREAM_TOKEN"]
    lock = hold(arguments.data_dir / "service.lock")
    backend = FakeBackend(arguments.data_dir, token)
    for identifier in arguments.discard:
        (backend.folder / f"{identifier}.json").rename(backend.folder / f"{identifier}.discarded")
    announcement = {"url": backend.url, "port": 0, "pid": os.getpid(), "token": token, "version": VERSION}
    beside = arguments.data_dir / "service.new"
    beside.write_text(json.dumps(announcement))
    beside.replace(arguments.data_dir / "service.json")
    sys.stderr.write("listening\n")
    backend.server.serve_forever(0.02)
    (arguments.data_dir / "service.json").unlink()
    lock.close()


if __name__ == "__main__":
    main()
