"""Which state of Diagram 8 an exception enters.

The phases' own errors name their state. What libraries raise is told by its class or code, without importing the
library: what was never imported cannot have raised.
"""

from __future__ import annotations

import errno

CODES = {
    "AccessDenied": "AccessDenied",
    "AccessDeniedException": "AccessDenied",
    "AllAccessDisabled": "AccessDenied",
    "403": "AccessDenied",
    "ExpiredToken": "NoCredentials",
    "ExpiredTokenException": "NoCredentials",
    "InvalidAccessKeyId": "NoCredentials",
    "InvalidClientTokenId": "NoCredentials",
    "SignatureDoesNotMatch": "NoCredentials",
    "UnrecognizedClientException": "NoCredentials",
    "NoSuchEntity": "RoleNotFound",
    "ThrottlingException": "ThrottlingException",
    "Throttling": "ThrottlingException",
    "TooManyRequestsException": "ThrottlingException",
    "ServiceUnavailableException": "ThrottlingException",
    "ModelStreamErrorException": "ModelStreamError",
    "ResourceLimitExceeded": "ContainerError",
}
"""Error codes of AWS services (botocore's ClientError)."""

CLASSES = {
    "NoCredentialsError": "NoCredentials",
    "PartialCredentialsError": "NoCredentials",
    "CredentialRetrievalError": "NoCredentials",
    "TokenRetrievalError": "NoCredentials",
    "EventStreamError": "ModelStreamError",
    "OutOfMemoryError": "CUDAOutOfMemory",
}
"""Exception classes of botocore and torch, by name."""


def classify(error: BaseException) -> str | None:
    """The entry state of Diagram 8 that an exception enters; None where it fits no class."""
    named = getattr(error, "recovery", None)
    if isinstance(named, str):
        return named
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        code = str(response.get("Error", {}).get("Code", ""))
        if code in CODES:
            return CODES[code]
    for cls in type(error).__mro__:
        if cls.__name__ in CLASSES:
            return CLASSES[cls.__name__]
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "DiskSpaceLow"
    if isinstance(error, UnicodeDecodeError):
        return "EncodingError"
    return None
