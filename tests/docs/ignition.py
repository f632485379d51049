"""The Ignition file in deploy/coreos, made of the Butane file and the files beside it.

Butane itself is in no registry of packages. This does the few things that our file asks for, in Butane's way;
``python -m tests.docs.ignition`` writes the result.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "coreos"
PLACE = FOLDER / "core.ign"
_SPEC = {"1.4.0": "3.3.0"}  # Butane's version for Fedora CoreOS, to Ignition's


def ignition_text() -> str:
    """Return what the file should hold."""
    asked = yaml.safe_load((FOLDER / "core.bu").read_text())
    assert asked["variant"] == "fcos"
    made: dict[str, Any] = {"ignition": {"version": _SPEC[asked["version"]]}}
    made["passwd"] = {
        "users": [
            {"name": user["name"], "sshAuthorizedKeys": user["ssh_authorized_keys"]}
            for user in asked["passwd"]["users"]
        ]
    }
    storage = asked["storage"]
    made["storage"] = {
        "directories": storage["directories"],
        "files": [_file(one) for one in storage["files"]],
    }
    return f"{json.dumps(made, indent=2)}\n"


def _file(asked: dict[str, Any]) -> dict[str, Any]:
    """Return a file with its contents in place."""
    given = asked["contents"]
    content = (FOLDER / given["local"]).read_text() if "local" in given else given["inline"]
    return asked | {"contents": {"source": f"data:,{quote(content, safe='')}"}}


if __name__ == "__main__":
    PLACE.write_text(ignition_text())
