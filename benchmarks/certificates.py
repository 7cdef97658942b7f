"""A certificate for 127.0.0.1, and a bundle that trusts it and costs as much to parse as the one in life."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import certifi
import trustme


@dataclass(frozen=True)
class Certificates:
    """Two files: what the server shows, and what the clients trust."""

    server: Path
    bundle: Path


def make_certificates(folder: Path) -> Certificates:
    """A test authority, its certificate for 127.0.0.1, and certifi's bundle with the authority at its end."""
    authority = trustme.CA()
    server, bundle = folder / "server.pem", folder / "bundle.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(server)
    bundle.write_bytes(Path(certifi.where()).read_bytes() + b"\n" + authority.cert_pem.bytes())
    return Certificates(server, bundle)
