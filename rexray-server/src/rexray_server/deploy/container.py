"""The recipe of a container image with REX-Ray and one driver, for podman, buildah and docker."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rexray.errors import InvalidRequest
from rexray_server.deploy.subject import Subject, requirements

BASE = "docker.io/library/debian:13.6-slim"
"""The image that ours is made from: Debian's packages have the tools, and the libraries that some drivers load."""
PACKAGES = (
    *("btrfs-progs", "ca-certificates", "cryptsetup-bin", "dmsetup", "e2fsprogs", "kmod", "mount", "python3"),
    *("python3-venv", "udev", "util-linux", "xfsprogs"),
)
"""The packages that every driver may need: filesystems, encryption, modules."""


def containerfile(subject: Subject, *, packages: Sequence[str] = (), wheels: str = "") -> str:
    """The recipe; ``packages`` are further ones of Debian, ``wheels`` a folder of the build context to install from."""
    for word in (*packages, *([wheels] if wheels else [])):
        if not set(word) <= set(_PLAIN) or word.startswith(("-", "/")) or ".." in word:
            raise InvalidRequest(f"{word!r} cannot be in a recipe: name a package, or a folder below the build context")
    names = " ".join(sorted({*PACKAGES, *packages}))
    bound = f"--mount=type=bind,source={wheels},target=/wheels " if wheels else ""
    found = "--find-links /wheels " if wheels else ""
    return f"""\
# {subject.name}: REX-Ray with {subject.distribution}
FROM {BASE}
RUN export DEBIAN_FRONTEND=noninteractive \\
 && apt-get update -qq \\
 && apt-get install -qq -y --no-install-recommends {names} \\
 && rm -rf /var/lib/apt/lists/*
RUN {bound}python3 -m venv --system-site-packages /opt/rexray \\
 && /opt/rexray/bin/pip install --no-cache-dir --disable-pip-version-check {found}\\
    {" ".join(requirements(subject))}
ENV PATH=/opt/rexray/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONUNBUFFERED=1
STOPSIGNAL SIGTERM
ENTRYPOINT {json.dumps(["/opt/rexray/bin/rexray"])}
CMD {json.dumps(["start", "-f", "--nopid"])}
"""


_PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._/"
