"""The list of an image's components (CycloneDX 1.6), by which a known hole is looked up years later."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from email.parser import HeaderParser
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from provisioning.image.profiles import Profile
from provisioning.image.python_packages import SITE


def components_of(profile: Profile, tree: Path, sha256: str) -> str:
    """Return the list, as JSON, of an image that has this digest and was made of `tree`."""
    moment = datetime.fromtimestamp(profile.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = sorted((*_of_debian(tree), *_of_python(tree)), key=lambda component: str(component["purl"]))
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, sha256)}",
        "version": 1,
        "metadata": {
            "timestamp": moment,
            "component": {
                "type": "firmware",
                "name": f"mirrorcam-{profile.name}",
                "version": version("mirrorcam"),
                "hashes": [{"alg": "SHA-256", "content": sha256}],
            },
        },
        "components": found,
    }
    return json.dumps(bill, indent=1) + "\n"


def _of_debian(tree: Path) -> Iterator[dict[str, Any]]:
    for paragraph in (tree / "var/lib/dpkg/status").read_text(encoding="utf-8").split("\n\n"):
        fields = HeaderParser().parsestr(paragraph)
        name, release = fields["Package"], fields["Version"]
        if name and release:
            purl = f"pkg:deb/debian/{name}@{release}?arch={fields['Architecture']}"
            yield {"type": "library", "name": name, "version": release, "purl": purl, "bom-ref": purl}


def _of_python(tree: Path) -> Iterator[dict[str, Any]]:
    for metadata in (tree / SITE).glob("*.dist-info/METADATA"):
        fields = HeaderParser().parsestr(metadata.read_text(encoding="utf-8"))
        purl = f"pkg:pypi/{fields['Name'].lower()}@{fields['Version']}"
        yield {"type": "library", "name": fields["Name"], "version": fields["Version"], "purl": purl, "bom-ref": purl}
