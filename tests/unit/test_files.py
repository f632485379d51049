"""Files that others put there: read without waiting, whatever they are."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from proxyconf.errors import BadValueError
from proxyconf.files import read_regular


def test_a_file_and_what_a_link_leads_to_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "file", 3) == read_regular(tmp_path / "link", 3) == b"abc"


def test_one_that_is_too_large_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    with pytest.raises(BadValueError, match="is too large: it has more than 2 bytes"):
        read_regular(tmp_path / "file", 2)


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(BadValueError, match="is no regular file"):
        read_regular(tmp_path / "fifo", 1)


def test_a_device_is_not_read() -> None:
    """That would never end."""
    with pytest.raises(BadValueError, match="is no regular file"):
        read_regular(Path("/dev/zero"), 1)


def test_what_can_not_be_opened_is_an_error_of_the_systems(tmp_path: Path) -> None:
    """A socket, a folder, nothing at all."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name in ("socket", "", "nothing"):
            with pytest.raises(OSError, match=r"No such|Is a directory") as caught:
                read_regular(tmp_path / name, 1)
            assert caught.value.filename == str(tmp_path / name)
