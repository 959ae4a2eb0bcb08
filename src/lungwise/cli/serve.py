"""``lungwise serve``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lungwise.errors import require


def serve(
    model: Annotated[Path | None, typer.Option("--model", help="A bundle; LUNGWISE_MODEL by default.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 by default.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, 8000 by default; 0 takes a free one.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings; see docs/settings.md.")] = None,
    new_token: Annotated[
        bool, typer.Option("--new-token", help="Show a fresh token and the hash to configure; no more.")
    ] = False,
) -> None:
    """Answer over HTTP. Research use only. Stops on SIGTERM and Ctrl-C, after running requests are finished."""
    for package in ("fastapi", "jinja2", "uvicorn", "pydantic_settings", "python_multipart", "joserfc", "prometheus_client"):
        require(package, "serve", "The service")
    if new_token:
        from lungwise.service.tokens import new_token as fresh

        token, sha256 = fresh()
        sys.stdout.write(
            f"Token, for the client; it is shown only now: {token}\nFor the service: LUNGWISE_TOKENS='[\"{sha256}\"]'\n"
        )
        return
    from lungwise.service.app import create_app
    from lungwise.service.run import address, listen, run
    from lungwise.service.settings import read_settings

    settings = read_settings(config, model=model, host=host, port=port)
    app = create_app(settings)
    listening = listen(settings)
    sys.stdout.write(f"Lungwise answers at {address(listening)} (Ctrl-C stops it). Research use only; not a medical device.\n")
    sys.stdout.flush()
    run(app, settings, listening)
