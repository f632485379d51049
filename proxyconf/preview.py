"""Show or check what would be written, without changing anything."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from proxyconf.app import look, open_sources, state_path
from proxyconf.errors import CommandError, RefusedError, StateError
from proxyconf.intake import Intake
from proxyconf.nginx.build import Build
from proxyconf.nginx.here import ask_build, open_nginx
from proxyconf.snapshot import merge
from proxyconf.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxyconf.config import Settings
    from proxyconf.model import Snapshot
    from proxyconf.nginx.here import Here
    from proxyconf.nginx.site import Site

_NONCE = "preview"


async def render(settings: Settings, *, timeout_s: float) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return the files that would be written, by their names in the folder nginx reads, and the problems.

    Raises:
        SourceError: A source did not answer.
        UsageError: The configuration of a source is wrong.
    """
    snapshot = await look(settings, timeout_s=timeout_s)
    problems = [str(problem) for problem in snapshot.problems]
    try:
        build = await ask_build(settings.tables.nginx.binary)
    except CommandError as exc:
        build = Build()
        problems.append(f"{exc}; rendered for an nginx that supports the least")
    # the real token is a secret of the state folder, which need not exist for this
    nginx = await open_nginx(settings.tables.nginx, build, state_path(settings) / "nginx", "0" * 32)
    site = nginx.renderer().render(snapshot)
    return _files(nginx, site), (*problems, *map(str, site.problems))


def _files(nginx: Here, site: Site) -> dict[str, bytes]:
    files = {nginx.folder.root.name: site.root(_NONCE)}
    return files | {f"parts/{part.file}": part.text for part in site.parts}


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write *files* into *folder*.

    Raises:
        StateError: It can't be written.
    """
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as exc:
        raise StateError(f"write {exc.filename}: {exc.strerror} (name another folder with --out)") from exc


async def check(settings: Settings) -> Sequence[str]:
    """Check the sources' settings, nginx's program and what it says of the site that was saved last.

    Returns:
        What is well, a line each.

    Raises:
        UsageError: A mistake in the configuration.
        CommandError: nginx's program can't be run.
        RefusedError: nginx refuses the site.
    """
    names = [source.name for source in open_sources(settings)]
    lines = [f"configuration: well; sources: {', '.join(names)}"]
    real = state_path(settings) / "nginx"
    build = await ask_build(settings.tables.nginx.binary)
    lines.append(f"nginx: {build.flavour} {'.'.join(map(str, build.version))}")
    snapshot = _saved(settings)
    with tempfile.TemporaryDirectory(prefix="proxyconf-check-") as path:
        folder = Path(path)
        nginx = await open_nginx(settings.tables.nginx, build, folder, "0" * 32, included_from=real)
        write(folder, _files(nginx, nginx.renderer().render(snapshot)))
        (folder / "temp").mkdir()
        for name in ("main.d", "http.d"):
            if (real / name).is_dir():
                (folder / name).symlink_to(real / name)
        try:
            await nginx.control.check(nginx.folder.root)
        except RefusedError as exc:  # what it names must still be there when it is read
            raise RefusedError(str(exc).replace(str(folder), str(real)), exc.output) from exc
    saved = (
        f"{len(snapshot.routes)} routes, as saved by the last run" if snapshot.routes else "without routes"
    )
    lines.append(f"site: nginx takes it ({saved})")
    return lines


def _saved(settings: Settings) -> Snapshot:
    """Return what the last run knew; nothing where there was none, or it is not ours to read."""
    intake = Intake({source.name: source.policy for source in open_sources(settings)})
    for listing in State(state_path(settings)).load_listings():
        intake.restore(listing)
    return merge(intake.claims(), host_rule=settings.tables.routing.host_rule)
