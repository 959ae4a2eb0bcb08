"""Write docs/settings.md from the settings of the service: python tools/settings_docs.py."""

from __future__ import annotations

from pathlib import Path

from lungwise.service.settings import PREFIX, Settings

PLACE = Path(__file__).parents[1] / "docs" / "settings.md"
HEAD = """# Settings of the service

Written by `python tools/settings_docs.py`. The command line (`--model`, `--host`, `--port`) wins over the environment, the
environment over a TOML file (`lungwise serve --config service.toml`), that over the defaults. In TOML a name is written small
(`max_files = 20`); lists in the environment are JSON (`'["a", "b"]'`).

| variable | default | what |
|---|---|---|
"""


def page() -> str:
    """The page as Markdown."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.default
        if default is None or default == ():
            shown = "none"
        elif isinstance(default, tuple):
            shown = ", ".join(map(str, default))
        elif isinstance(default, bool):
            shown = "yes" if default else "no"
        else:
            shown = f"{default:g}" if isinstance(default, float) else str(default) or '""'
        rows.append(f"| `{PREFIX}{name.upper()}` | {shown} | {field.description} |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PLACE.write_text(page(), encoding="utf-8")
