"""Names that stand in for people, films and days: the same for the same salt, and no way back without it.

Whatever identifies goes through a keyed hash (HMAC-SHA256), so that nobody can try all names or numbers until
one fits, as one can with a plain hash.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path
from uuid import UUID

from sdnet_lib.files import InputError

LONGEST_SHIFT = 3650  # days
LEAST_SALT = 16  # bytes


def read_salt(file: Path) -> bytes:
    """Return the secret of a file; one that is missing is made, readable for its owner only.

    Raises
    ------
    InputError
        If it holds less than `LEAST_SALT` bytes.
    """
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(secrets.token_hex(32) + "\n")
    salt = file.read_bytes().strip()
    if len(salt) < LEAST_SALT:
        raise InputError(f"--salt {file}: a secret of at least {LEAST_SALT} characters is needed")
    return salt


def pseudonym(salt: bytes, kind: str, value: str, digits: int = 12) -> str:
    """Return hexadecimal digits for a value; a patient and a film of the same number get different ones."""
    return hmac.new(salt, f"{kind}\0{value}".encode(errors="surrogateescape"), "sha256").hexdigest()[:digits]


def uid(salt: bytes, value: str) -> str:
    """Return a DICOM UID in place of another: ``2.25.`` and a UUID as a number (PS3.5 B.2)."""
    return f"2.25.{UUID(pseudonym(salt, 'uid', value, 32), version=5).int}"


def days_shifted(salt: bytes, patient: str) -> int:
    """Return by how many days all dates of a patient go back, so that what lies between them stays."""
    return 1 + int(pseudonym(salt, "days", patient, 8), 16) % LONGEST_SHIFT
