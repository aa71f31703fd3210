"""Owns which Python image the Dockerfile stands on: writes its tag's present digest there; does not pull the image.

`make base-digest` runs it. It asks the tag's registry, and takes only what has every platform that we build for.
"""

import hashlib
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Final

DOCKERFILE: Final = Path(__file__).parents[2] / "Dockerfile"
PLATFORMS: Final = {"amd64", "arm64"}
REGISTRY: Final = "https://registry-1.docker.io"
INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
LINE: Final = re.compile(r"^ARG PYTHON_IMAGE=([^\s:@]+):([^\s@]+)(@sha256:[0-9a-f]{64})?$", re.MULTILINE)


def read(url: str, token: str = "") -> bytes:
    """The body behind a URL of a registry, with the token for strangers that it asks for."""
    headers = {"Accept": ", ".join(INDEXES)} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as error:
        challenge = dict(re.findall(r'(\w+)="([^"]*)"', error.headers.get("WWW-Authenticate", "")))
        if error.code != 401 or token or "realm" not in challenge:
            raise
        query = {key: challenge[key] for key in ("service", "scope") if key in challenge}
        granted = json.loads(read(f"{challenge['realm']}?{urllib.parse.urlencode(query)}"))
        return read(url, granted["token"])


def digest(name: str, tag: str, registry: str = REGISTRY) -> str:
    """`sha256:…` of a tag's image for all platforms.

    Raises:
        SystemExit: the registry cannot be asked, or the tag lacks a platform.
    """
    url = f"{registry}/v2/{name if '/' in name else f'library/{name}'}/manifests/{tag}"
    try:
        body = read(url)
    except (urllib.error.URLError, TimeoutError) as error:
        sys.exit(f"{url} cannot be read ({error}); the Dockerfile stays as it is. Is this machine online?")
    platforms = {each["platform"]["architecture"] for each in json.loads(body).get("manifests", [])}
    if lacking := PLATFORMS - platforms:
        sys.exit(f"{name}:{tag} has no image for {' and '.join(sorted(lacking))}; the Dockerfile stays as it is")
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def renew(dockerfile: Path, registry: str = REGISTRY) -> str:
    """Writes the digest that a registry has now into a Dockerfile; returns the image's full name."""
    text = dockerfile.read_text()
    (found,) = LINE.finditer(text)
    name, tag, _ = found.groups()
    image = f"{name}:{tag}@{digest(name, tag, registry)}"
    dockerfile.write_text(text.replace(found.group(), f"ARG PYTHON_IMAGE={image}"))
    return image


if __name__ == "__main__":
    sys.stdout.write(f"{renew(DOCKERFILE)}\n")
