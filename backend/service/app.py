# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP interface. Every error is {"detail": "a sentence"}. Never imports torch: workers do."""

import asyncio
import logging
import secrets
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

from backend import __version__
from backend.default_model import AUTO, PUBLISHED
from backend.diffusion import installation, registry
from backend.errors import UserError
from backend.service import admission, files, model_list
from backend.service.jobs import Job, Status
from backend.service.kinds import DOWNLOAD, DownloadRequest, JobRequest, explain_request, stored_settings
from backend.service.security import Gate
from backend.service.store import JobStore
from backend.service.supervisor import Supervisor
from backend.settings import PRESETS

log = logging.getLogger(__name__)


class JobList(BaseModel):
    """Jobs, newest first."""

    jobs: list[Job]


class Service:
    """The endpoints and what they work on. All run in the event loop: the store belongs to its thread."""

    def __init__(
        self,
        store: JobStore,
        supervisor: Supervisor,
        downloader: Supervisor,
        data_dir: Path,
        shut_down: Callable[[], None],
    ) -> None:
        self._store = store
        self._supervisor = supervisor
        self._downloader = downloader
        self._data_dir = data_dir
        self._shut_down = shut_down
        self.router = APIRouter(prefix="/v1")
        add = self.router.add_api_route
        add("/health", self.health, methods=["GET"])
        add("/models", self.models, methods=["GET"])
        add("/models/{name}", self.remove_model, methods=["DELETE"], status_code=204)
        add("/presets", self.presets, methods=["GET"])
        add("/jobs", self.submit, methods=["POST"], status_code=201)
        add("/jobs", self.jobs, methods=["GET"])
        add("/jobs/{job_id}", self.job, methods=["GET"])
        add("/jobs/{job_id}", self.delete, methods=["DELETE"], status_code=204)
        add("/jobs/{job_id}/cancel", self.cancel, methods=["POST"])
        add("/jobs/{job_id}/resume", self.resume, methods=["POST"])
        add("/jobs/{job_id}/files/{name}", self.file, methods=["GET"], response_class=Response)
        add("/shutdown", self.shutdown, methods=["POST"], status_code=202)

    async def health(self) -> dict[str, Any]:
        """Whether the service lives, and its version."""
        return {"status": "ok", "version": __version__, "jobs_running": self._store.count(Status.RUNNING)}

    async def models(self) -> list[dict[str, Any]]:
        """All models, also those that could be downloaded: see `model_list.listed`."""
        return model_list.listed()

    async def remove_model(self, name: str) -> Response:
        """Removes an installed model, or what is there of its download."""
        user = next((job for job in self._store.unfinished() if _needs(job, name)), None)
        if user is not None:
            doing = "is being downloaded" if user.kind == DOWNLOAD else f"is needed by the job {user.id}"
            raise HTTPException(409, f"The model {name!r} {doing}. Wait until that is done, or cancel it.")
        if not model_list.is_there(name):
            raise HTTPException(404, f"There is no model {name[:60]!r} here.")
        await asyncio.to_thread(installation.remove, name)
        return Response(status_code=204)

    async def presets(self) -> list[dict[str, str]]:
        """The presets there are."""
        return [
            {"name": name, "title": preset.title, "description": preset.description}
            for name, preset in PRESETS.items()
        ]

    async def submit(self, request: JobRequest) -> Job:
        """Queues a job."""
        if isinstance(request, DownloadRequest):
            self._refuse_second_download(request.settings.name)
        admission.admit(request.settings, self._data_dir)
        job_id = secrets.token_hex(8)
        try:
            self._supervisor.folder_of(job_id).mkdir(parents=True)
        except OSError as error:
            raise UserError(
                f"The folder of the job cannot be made in {self._data_dir}: {error.strerror}."
            ) from None
        job = self._store.add(job_id, request.kind, request.settings.model_dump(exclude_none=True))
        self._lane(job).wake()
        return job

    async def jobs(self, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> JobList:
        """The newest jobs."""
        return JobList(jobs=self._store.list(limit))

    async def job(self, job_id: str) -> Job:
        """One job."""
        return self._find(job_id)

    async def cancel(self, job_id: str) -> Job:
        """Stops a job; the answer comes when nothing of it runs any more. What it made stays."""
        job = self._find(job_id)
        if job.status in (Status.DONE, Status.FAILED):
            raise HTTPException(409, f"The job is over ({job.status}); there is nothing to cancel.")
        if job.status is Status.RUNNING:
            await self._lane(job).cancel(job_id)
        elif job.status is Status.QUEUED:
            self._store.cancel_queued(job_id)
        return self._find(job_id)

    async def resume(self, job_id: str) -> Job:
        """Queues a cancelled or failed job again; it goes on from its last checkpoint."""
        job = self._find(job_id)
        if job.status not in (Status.CANCELLED, Status.FAILED):
            raise HTTPException(
                409, f"The job is {job.status}; only cancelled and failed jobs can be resumed."
            )
        if job.kind == DOWNLOAD:
            self._refuse_second_download(str(job.settings.get("name")))
        admission.admit(stored_settings(job.kind, job.settings), self._data_dir)
        job = self._store.enqueue_again(job_id)
        self._lane(job).wake()
        return job

    async def delete(self, job_id: str) -> Response:
        """Forgets a job and removes its files."""
        if self._find(job_id).status is Status.RUNNING:
            raise HTTPException(409, "The job is running; cancel it before you delete it.")
        self._store.delete(job_id)
        await asyncio.to_thread(shutil.rmtree, self._supervisor.folder_of(job_id), ignore_errors=True)
        return Response(status_code=204)

    async def file(self, job_id: str, name: str) -> Response:
        """A file of a job, one of its `files`."""
        job = self._find(job_id)
        path = files.locate(self._supervisor.folder_of(job_id), name) if name in job.files else None
        if path is None:
            raise HTTPException(404, f"The job has no file {name[:60]!r}.")
        # Read whole: a preview may be replaced by the next one while it is sent.
        try:
            content = await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError:
            raise HTTPException(404, f"The job has no file {name[:60]!r} any more.") from None
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        media_type = files.MEDIA_TYPES.get(path.suffix, "application/octet-stream")
        return Response(content, media_type=media_type, headers=headers)

    async def shutdown(self) -> dict[str, str]:
        """Stops the service (Windows has no signal for it); a running job goes on at the next start."""
        self._shut_down()
        return {"status": "stopping"}

    def _lane(self, job: Job) -> Supervisor:
        return self._downloader if job.kind == DOWNLOAD else self._supervisor

    def _refuse_second_download(self, name: str) -> None:
        for job in self._store.unfinished():
            if job.kind == DOWNLOAD and job.settings.get("name") == name:
                raise HTTPException(409, f"The model {name!r} is being downloaded already, by job {job.id}.")

    def _find(self, job_id: str) -> Job:
        job = self._store.get(job_id)
        if job is None:
            raise HTTPException(404, f"There is no job {job_id[:60]!r}.")
        return job


def create_app(service: Service, token: str, on_request: Callable[[], None] = lambda: None) -> FastAPI:
    """The application: `service` behind the gate; `on_request` is called for every request let in."""
    app = FastAPI(
        title="MVDream for Blender",
        version=__version__,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # the page would load scripts from the internet
        redoc_url=None,
        # FastAPI can send what it sees to a collector; prompts stay on this machine.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.include_router(service.router)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(sqlite3.OperationalError, _store_error)
    app.add_exception_handler(StarletteHTTPException, _http_error)
    app.add_exception_handler(Exception, _fault)
    app.add_middleware(Gate, token=token, on_request=on_request)
    return app


def _needs(job: Job, name: str) -> bool:
    """Whether a job uses, or makes, the model; "auto" may turn out to be the published one."""
    if job.kind == DOWNLOAD:
        return job.settings.get("name") == name
    model = job.settings.get("model", AUTO)
    return model == name or (model == AUTO and name == PUBLISHED) or _is_folder_of(model, name)


def _is_folder_of(path: str, name: str) -> bool:
    """Whether a job's model is a path, and one to the folder of the installed model."""
    try:
        place = Path(path).expanduser()
        return place.is_absolute() and place.resolve() == (registry.models_folder() / name).resolve()
    except (OSError, RuntimeError):  # no home for "~nobody", a ring of links
        return False


async def _bad_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": explain_request(error.errors())}, 422)


async def _user_error(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 422)


async def _store_error(request: Request, error: Exception) -> JSONResponse:
    log.error("The job store refused: %s", error)
    return JSONResponse(
        {"detail": f"The list of jobs cannot be used now ({error}). Make room on the disk, then try again."},
        503,
    )


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)
    usual = {404: "There is nothing at this address.", 405: "This address does not know this method."}
    plain = error.detail in ("Not Found", "Method Not Allowed")
    return JSONResponse({"detail": usual[error.status_code] if plain else error.detail}, error.status_code)


async def _fault(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse(
        {"detail": f"The service has a fault ({type(error).__name__}); its log says more."}, 500
    )
