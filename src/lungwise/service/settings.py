"""What may be set of the service: by the environment, by a TOML file, or from the command line."""

from __future__ import annotations

import os
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lungwise.errors import LungwiseError
from lungwise.imaging.read import MAX_PIXELS
from lungwise.inference.sandbox import MEGABYTES, SECONDS

PREFIX = "LUNGWISE_"
MB = 1_000_000


class Settings(BaseSettings):
    """Settings of ``lungwise serve``. Every field is also the environment variable ``LUNGWISE_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    # Where
    model: Path | None = Field(None, description="The bundle: a directory or a zip file.")
    host: str = Field("127.0.0.1", description="Address to listen on; any other than this machine's own needs a token or OIDC.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    hosts: tuple[str, ...] = Field(
        ("localhost", "127.0.0.1", "[::1]"), description="Names that a Host header may have, against DNS rebinding; * is any."
    )
    root_path: str = Field("", description="Path under which a reverse proxy shows the service.")
    threads: int = Field(0, ge=0, description="Threads of one forward pass; 0 finds out how many are fastest.")
    engine: str = Field("auto", description="What runs the network; auto measures at the first start what is fastest here.")

    # Who
    tokens: tuple[str, ...] = Field(
        (), description="SHA-256 of bearer tokens that are accepted, each as 64 hexadecimal digits; tokens are never kept."
    )
    tokens_file: Path | None = Field(None, description="A file with one such SHA-256 a line.")
    oidc_issuer: str | None = Field(None, description="Issuer of the JSON web tokens that are accepted, as it stands in them.")
    oidc_audience: str | None = Field(None, description="Audience that those must have.")
    oidc_jwks: str | None = Field(None, description="The issuer's keys (JWKS): an https address or a file.")
    rate_per_minute: float = Field(3000, gt=0, description="Requests a minute for each identity or address.")
    rate_burst: int = Field(600, ge=1, description="Requests that may come at once before that rate is enforced.")
    metrics_open: bool = Field(False, description="Whether /metrics is answered without a token where others need one.")

    # How much
    max_file_mb: float = Field(100, gt=0, description="Largest file, in MB.")
    max_files: int = Field(64, ge=1, description="Most files of one request, those inside zip files counted.")
    max_request_mb: float = Field(500, gt=0, description="Largest body of a request, in MB; zip files may unpack to as much.")
    max_pixels: int = Field(MAX_PIXELS, ge=1024, le=MAX_PIXELS, description="Largest image, in pixels.")
    max_json_mb: float = Field(32, gt=0, description="Largest body that is JSON, in MB.")
    max_invocation_mb: float = Field(20, gt=0, description="Largest body of a request to /invocations, in MB.")
    spool_mb: float = Field(1, gt=0, description="An upload larger than this goes to a private temporary file, in MB.")
    inflight_mb: float = Field(2000, gt=0, description="All uploads that are open at one time, in MB; more get 503.")
    zip_ratio: float = Field(100, ge=1, description="A member of a zip file may unpack to at most this many times its size.")
    connections: int = Field(256, ge=1, description="Requests that are served at one time; more get 503.")

    # How long
    request_seconds: float = Field(60, gt=0, description="Time for the answer to a request, its upload not counted.")
    upload_seconds: float = Field(300, gt=0, description="Time for the upload of one request.")
    idle_seconds: float = Field(15, gt=0, description="Longest pause within an upload.")
    stop_seconds: float = Field(25, gt=0, le=28, description="Time for running requests when the service is stopped.")

    # The queue
    queue_length: int = Field(256, ge=1, description="Images that wait or are at work; more get 429.")
    batch_wait_ms: float = Field(5, ge=0, le=1000, description="How long a batch waits for images that are being read.")
    decoders: int = Field(0, ge=0, description="Images that are read at one time; 0 takes one for each core.")
    decoded_mb: float = Field(400, gt=0, description="Pixels that wait for the network, in MB; reading pauses above it.")
    sandbox: bool = Field(True, description="Whether uploads are read in processes of their own, with limits.")
    sandbox_mb: int = Field(MEGABYTES, ge=100, description="Memory for one image there, in MB.")
    sandbox_seconds: float = Field(SECONDS, gt=0, description="Time for reading one image there.")

    # The reading room
    workspace_minutes: float = Field(
        30, gt=0, description="A workspace is forgotten after this many minutes without a request."
    )
    workspace_images: int = Field(50, ge=1, description="Most images of one workspace.")
    workspaces: int = Field(100, ge=1, description="Most workspaces at one time.")
    workspaces_mb: float = Field(1000, gt=0, description="Memory of all workspaces together, in MB.")

    # Jobs and records
    data: Path | None = Field(None, description="Folder for jobs; without it there are none.")
    quota_mb: float = Field(10_000, gt=0, description="Most that jobs may take of it, in MB.")
    job_days: float = Field(7, gt=0, description="Days after which a finished job is removed.")
    logs: Path | None = Field(None, description="Folder for the audit log; standard error without it.")
    log_mb: float = Field(50, ge=0.001, description="Size at which a new file of the audit log is begun, in MB.")
    log_files: int = Field(20, ge=1, description="Older files of the audit log that are kept.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.max_files > self.queue_length:
            raise ValueError(
                f"queue_length ({self.queue_length}) must be at least max_files ({self.max_files}), or some requests never fit"
            )
        if self.max_file_mb > self.max_request_mb:
            raise ValueError(
                f"max_request_mb ({self.max_request_mb:g}) must be at least max_file_mb ({self.max_file_mb:g}), "
                "or the largest file never fits"
            )
        return self

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return self.host in ("127.0.0.1", "localhost", "::1", "[::1]")


def read_settings(config: Path | None = None, **given: Any) -> Settings:
    """Settings from the command line, else the environment, else a TOML file, else their defaults.

    Args:
        config: a TOML file with fields of :class:`Settings`; relative paths in it are relative to the current folder.
        given: what the command line says; None is nothing said.

    Raises:
        LungwiseError: a setting is unknown or has an impossible value.
    """
    of_file = _read_toml(config) if config else {}
    in_environment = _in_environment()
    known = Settings.model_fields
    unknown = [name for name in of_file if name not in known]
    if unknown:
        raise LungwiseError(f"'{unknown[0]}' is not a setting; the settings are: {', '.join(sorted(known))}.")
    said = {name: value for name, value in of_file.items() if name not in in_environment}
    said |= {name: value for name, value in given.items() if value is not None}
    try:
        return Settings(**said)
    except ValidationError as cause:
        first = cause.errors()[0]
        place = ".".join(str(part) for part in first["loc"][:1])
        raise LungwiseError(f"The setting{f' {place}' if place else 's'}: {first['msg']}; correct it.") from cause


def _in_environment() -> set[str]:
    """Settings that the environment makes. A name that is almost one of them is a slip and must not pass in silence."""
    found = {name[len(PREFIX) :].lower() for name in os.environ if name.upper().startswith(PREFIX)}
    for name in sorted(found - set(Settings.model_fields)):
        if near := get_close_matches(name, Settings.model_fields, n=1, cutoff=0.8):
            raise LungwiseError(f"{PREFIX}{name.upper()} is not a setting; is {PREFIX}{near[0].upper()} meant?")
    return found & set(Settings.model_fields)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise LungwiseError(f"--config must be a file that can be read, but {path} is not: {cause.strerror}.") from cause
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise LungwiseError(f"--config must be TOML, but {path} is not ({cause}); correct that line.") from cause
