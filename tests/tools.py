"""Programs from outside that tests need. In CI each of them must be there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def absent(reason: str) -> None:
    """Skip, and in CI fail."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; CI must have it", pytrace=False)
    pytest.skip(reason)


def need_program(name: str) -> str:
    """Path of a program; without it the test skips, and in CI it fails."""
    found = shutil.which(name)
    if found is None:
        absent(f"{name} is not installed")
    return str(found)


def need_npm_packages(manifest: Path, into: Path) -> Path:
    """A folder with the packages of a ``package.json`` in its ``node_modules``.

    Args:
        manifest: names them and their versions.
        into: kept between runs; installed into where it is not what the manifest says.
    """
    npm = need_program("npm")
    text = manifest.read_text(encoding="utf-8")
    done = into / "installed.json"
    if not done.exists() or done.read_text(encoding="utf-8") != text:
        (into / "package.json").write_text(text, encoding="utf-8")
        install = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"],
            cwd=into,
            capture_output=True,
            check=False,
            timeout=240,
        )
        if install.returncode:
            absent(f"npm cannot install: {install.stderr.decode(errors='replace').strip()}")
        done.write_text(text, encoding="utf-8")
    return into


def need_root(why: str) -> None:
    if os.geteuid() != 0:
        absent(f"not root: {why}")


def need_network_namespaces() -> None:
    need_program("ip")
    need_root("network namespaces cannot be made")
    if not Path("/proc/self/ns/net").exists():
        absent("the kernel has no network namespaces")


@contextmanager
def small_disk(path: Path, kib: int) -> Iterator[Path]:
    """A filesystem of its own at ``path``, with room for ``kib`` KiB."""
    need_root("no filesystem can be mounted")
    mount = need_program("mount")
    path.mkdir()
    options = f"size={kib}k,mode=700"
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True, check=False
    )
    if done.returncode:
        absent(f"no tmpfs can be mounted: {done.stderr.decode().strip()}")
    try:
        yield path
    finally:
        subprocess.run([need_program("umount"), "-l", str(path)], check=True)
