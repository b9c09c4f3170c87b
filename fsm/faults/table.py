"""The table: what each error code, message, status and exception class means, and what to do about each cause.

Sources: the services' models in botocore (a test holds the table against them), botocore's `_retry.json` and
`retries/standard.py`; the common errors of AWS, https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html;
of S3, https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; of Bedrock,
https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html; of OpenAI,
https://platform.openai.com/docs/guides/error-codes, and the package's own classes. A new code belongs in here,
and nowhere else.
"""

from __future__ import annotations

import errno
import re
from enum import Enum


class Kind(Enum):
    """Whose failure it is, and so what is done about it."""

    PASSING = "again, with jitter"
    ITEM = "the item's own"  # skipped and recorded
    EVERYBODY = "stop"  # resumable, with one paragraph: nothing else would be answered either
    UNKNOWN = "the item's own, until it repeats"


PASSING, ITEM, EVERYBODY, UNKNOWN = Kind.PASSING, Kind.ITEM, Kind.EVERYBODY, Kind.UNKNOWN
Meaning = tuple[Kind, str]
"""The kind and the cause."""

ADVICE = {
    "credentials": "Renew the credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN for temporary "
    "ones), a profile (`aws sso login`), or for Bedrock alone AWS_BEARER_TOKEN_BEDROCK.",
    "clock": "Set this machine's clock (NTP): AWS refuses what was signed more than some minutes ago, or will be.",
    "access": "Allow these credentials what the message names, or use others.",
    "account": "See to the AWS account: its sign-up, payment, standing and terms for this service.",
    "model": "Name a model, or an inference profile, that is offered in the region and to which the account has access.",
    "quota": "Wait until the quota is renewed, or have it raised (Service Quotas).",
    "request": "Correct what the request asks for, in the configuration: the message says what is not taken.",
    "region": "Set the region to the one where it is.",
    "bucket": "Create the bucket, or correct its name.",
    "key": "See to the KMS key: it must exist, be enabled, and allow these credentials kms:GenerateDataKey and kms:Decrypt.",
    "configuration": "Correct the AWS configuration of this machine: region, profile, endpoint, proxy.",
    "certificate": "See to the certificates: the clock, a proxy between, AWS_CA_BUNDLE.",
    "throttling": "Wait, and lower what is asked at once, or have the rate raised (Service Quotas).",
    "service": "Wait until the service is well again (https://health.aws.amazon.com).",
    "network": "See to the network between here and the service.",
    "conflict": "See who else writes there.",
    "missing": "See whether it was moved or deleted.",
    "archived": "Restore the object from its archive.",
    "length": "Shorten it, or take it out.",
    "content": "Reword it, or take it out.",
    "unknown": "See to what the message says.",
}
"""What to do next, by cause; a person is shown it."""


def _each(*groups: tuple[Kind, str, str]) -> dict[str, Meaning]:
    """The meaning of every word of the groups. A word stands in one group only."""
    meant: dict[str, Meaning] = {}
    for kind, cause, words in groups:
        assert cause in ADVICE, cause
        for word in words.split():
            assert word not in meant, word
            meant[word] = (kind, cause)
    return meant


CODES = _each(
    (EVERYBODY, "credentials", """
        ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired InvalidToken InvalidTokenException
        InvalidIdentityToken InvalidIdentityTokenException IDPRejectedClaim InvalidAccessKeyId InvalidClientTokenId
        UnrecognizedClient UnrecognizedClientException IncompleteSignature IncompleteSignatureException
        SignatureDoesNotMatch InvalidSignature InvalidSignatureException MissingAuthenticationToken
        MissingAuthenticationTokenException MissingSecurityHeader CredentialsNotSupported AuthFailure
        UnauthorizedException InvalidGrantException AuthenticationError invalid_api_key 401"""),
    (EVERYBODY, "clock", "RequestTimeTooSkewed RequestInTheFuture"),
    (EVERYBODY, "access", """
        AccessDenied AccessDeniedException AllAccessDisabled Forbidden ForbiddenException NotAuthorized
        NotAuthorizedException UnauthorizedAccess UnauthorizedOperation AuthorizationError PermissionDeniedError
        unsupported_country_region_territory 403"""),
    (EVERYBODY, "account", """
        OptInRequired SubscriptionRequiredException NotSignedUp AccountProblem AccountSuspended
        AccountSuspendedException InvalidPayer PendingVerification RegionDisabledException account_deactivated
        billing_not_active 402"""),
    (EVERYBODY, "quota", """
        ServiceQuotaExceededException ResourceLimitExceeded LimitExceeded QuotaExceededException insufficient_quota
        billing_hard_limit_reached"""),
    # of Bedrock, whose resources are models, and of OpenAI's protocol, where nothing else is asked for
    (EVERYBODY, "model", "ResourceNotFoundException model_not_found NotFoundError"),
    (EVERYBODY, "request", """
        UnknownOperation UnknownOperationException InvalidAction MissingAction MalformedHttpRequestException
        MalformedQueryString InvalidParameterCombination MissingParameter InvalidInput MalformedPolicyDocument
        PackedPolicyTooLarge PolicyEvaluation NoSuchResourceException IllegalArgumentException
        InvalidPaginationTokenException NotImplemented MethodNotAllowed EncryptionTypeMismatch unsupported_parameter
        unsupported_value unknown_parameter missing_required_parameter invalid_type 405"""),
    (EVERYBODY, "region", """
        PermanentRedirect TemporaryRedirect Redirect AuthorizationHeaderMalformed
        IllegalLocationConstraintException 301 307 308"""),
    (EVERYBODY, "bucket", "NoSuchBucket InvalidBucketName BucketAlreadyExists BucketAlreadyOwnedByYou"),
    (EVERYBODY, "key", """
        KMS.DisabledException KMS.InvalidStateException KMS.NotFoundException KMS.InvalidKeyUsageException
        KMSDisabledException KMSInvalidStateException KMSNotFoundException KMSAccessDeniedException
        KMSInvalidKeyUsageException KMSKeyNotAccessibleFault"""),
    (PASSING, "throttling", """
        Throttling ThrottlingException ThrottledException Throttled RequestThrottled RequestThrottledException
        TooManyRequests TooManyRequestsException ProvisionedThroughputExceededException RequestLimitExceeded
        BandwidthLimitExceeded LimitExceededException EC2ThrottledException SlowDown PriorRequestNotComplete
        TransactionInProgressException RateLimitError rate_limit_exceeded 429 509"""),
    (PASSING, "service", """
        InternalError InternalFailure InternalServerError InternalServerException InternalServiceError
        InternalServiceException ServerException ServiceException ServiceFailure ServiceUnavailable
        ServiceUnavailableException Unavailable ModelNotReadyException ModelTimeoutException ModelErrorException
        ModelStreamErrorException CapacityError IDPCommunicationError KMSInternalException KMS.InternalException
        server_error overloaded_error 424 500 502 503 504"""),
    (PASSING, "network", """
        RequestTimeout RequestTimeoutException RequestAbortedException IncompleteBody BadDigest
        XAmzContentSHA256Mismatch 408"""),
    # two writers met; the same request again tells which
    (PASSING, "conflict", "ConditionalRequestConflict OperationAborted ConflictError"),
    (ITEM, "conflict", """
        ConflictException PreconditionFailed ResourceInUse IdempotencyParameterMismatch InvalidWriteOffset
        AnnotationLimitExceeded 412"""),
    (ITEM, "missing", """
        NoSuchKey NoSuchVersion NoSuchUpload NoSuchEntity NoSuchAnnotation NotFound ResourceNotFound
        404"""),
    (ITEM, "archived", "InvalidObjectState ObjectNotInActiveTierError ObjectAlreadyInActiveTierError"),
    (ITEM, "length", """
        EntityTooLarge EntityTooSmall KeyTooLongError RequestEntityTooLargeException TooManyParts
        AnnotationNameTooLong MaxMessageLengthExceeded context_length_exceeded string_above_max_length 413"""),
    (ITEM, "content", """
        InvalidAnnotationName InvalidPrefix UnsupportedMediaType content_filter content_policy_violation invalid_prompt"""),
    (UNKNOWN, "request", """
        ValidationException ValidationError InvalidRequest InvalidArgument InvalidParameterValue
        InvalidQueryParameter InvalidRange InvalidPart InvalidPartOrder InvalidDigest BadRequest BadRequestError
        UnprocessableEntityError invalid_request_error 400"""),
)  # fmt: skip
"""By the code of a service's answer. An answer without a body, to a HEAD, has its status for a code."""

STATUSES: dict[int, Meaning] = {
    **{int(code): meant for code, meant in CODES.items() if code.isdecimal()},
    409: (UNKNOWN, "conflict"),
}
"""By the status, for a code that is not in the table. Any other from 500 on is passing: the service's own trouble."""

CLASSES = _each(
    (EVERYBODY, "credentials", """
        NoCredentialsError PartialCredentialsError CredentialRetrievalError UnknownCredentialError
        MetadataRetrievalError RefreshWithMFAUnsupportedError NoAuthTokenError TokenRetrievalError SSOError LoginError
        UnknownTokenProviderError"""),
    (EVERYBODY, "request", "ParamValidationError MissingParametersError UnknownParameterError UnknownKeyError RangeError"),
    (EVERYBODY, "configuration", """
        NoRegionError InvalidRegionError UnknownRegionError BaseEndpointResolverError EndpointProviderError
        ServiceNotInRegionError ProfileNotFound ConfigNotFound ConfigParseError InvalidConfigError
        InvalidEndpointConfigurationError InvalidProxiesConfigError InvalidRetryConfigurationError
        InvalidS3AddressingStyleError UnsupportedS3ConfigurationError UnsupportedS3ArnError
        UnsupportedS3AccesspointConfigurationError InvalidDNSNameError InvalidHostLabelError InvalidIMDSEndpointError
        InvalidDefaultsMode InvalidChecksumConfigError MissingDependencyException DataNotFoundError
        UnsupportedSignatureVersionError UnknownSignatureVersionError"""),
    (PASSING, "throttling", "CapacityNotAvailableError"),
    (PASSING, "service", "EventStreamError ResponseParserError"),
    (PASSING, "network", """
        ConnectionError HTTPClientError IncompleteReadError ChecksumError FlexibleChecksumError
        TimeoutError SSLError gaierror herror HTTPException ProtocolError IncompleteRead NewConnectionError
        MaxRetryError NameResolutionError RetriesExceededError APIConnectionError TransportError"""),
)  # fmt: skip
"""By the name of an exception's class, or of one that it is derived from, the nearest first: botocore's, s3transfer's,
urllib3's, http.client's, openai's, httpx's and Python's own. By the name, because what was never imported cannot have raised."""

UNVERIFIED = frozenset({"SSLCertVerificationError", "CertificateError"})
"""A certificate that was refused, however it is wrapped: no waiting mends that."""

NETWORK_ERRNOS = frozenset(
    {errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENOTCONN}
    | {
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ETIMEDOUT,
        errno.EPIPE,
        errno.EADDRNOTAVAIL,
    }
)
"""Of an OSError that has no class of its own."""

_REFUSED = frozenset(
    {"ValidationException", "ResourceNotFoundException", "AccessDeniedException", "AccessDenied"}
)
_RATES = frozenset(
    {"ThrottlingException", "Throttling", "TooManyRequestsException", "LimitExceededException"}
)
_SIGNED = frozenset(
    {"SignatureDoesNotMatch", "InvalidSignatureException", "InvalidSignature", "AccessDeniedException"}
)
_SETTINGS = (
    r"(temperature|top_?[pk]|max_?tokens|stop_?sequences|anthropic_version|inferenceconfig|system\b|thinking)"
)

_CHAT = frozenset(
    {"BadRequestError", "NotFoundError", "UnprocessableEntityError", "RateLimitError", "InternalServerError"}
)
"""The classes of openai's errors: servers that speak its protocol put what they like into the code."""

MESSAGES: tuple[tuple[frozenset[str], re.Pattern[str], Meaning], ...] = tuple(
    (codes, re.compile(pattern), (kind, cause))
    for codes, pattern, kind, cause in (
        (_RATES, r"per day|daily|for the day|per month|monthly", EVERYBODY, "quota"),
        (_SIGNED, r"signature expired|signature not yet current|is now (earlier|later) than", EVERYBODY, "clock"),
        (_REFUSED, r"\bkms[: ]", EVERYBODY, "key"),
        (_REFUSED, r"api key|bearer token|authentication failed|(security )?token (included|has|is)\b.*(expired|invalid)", EVERYBODY, "credentials"),
        (_REFUSED, r"account.{0,30}(suspended|blocked|closed|on hold)|payment|marketplace|channel program", EVERYBODY, "account"),
        (_REFUSED, r"operation not allowed|account is not authorized|for (this|your) account\. please", EVERYBODY, "account"),
        (_REFUSED, r"use case details|(have|has) access to the model|access to (the|this) model|model access", EVERYBODY, "access"),
        # more output than the model can give is the configuration's; more than the window holds is the prompt's
        (_REFUSED, r"maximum tokens you requested exceeds|maximum allowed number of output tokens", EVERYBODY, "request"),
        (_REFUSED, r"(input|prompt|request|message)s? (is|are|was) too (long|large)|too many (input|total|text) |exceeds? (the )?context|context (length|window)|expected max(length|items)|maximum input (length|tokens)|reduce the length", ITEM, "length"),
        (_REFUSED, r"guardrail (identifier|version|arn|was not|is not|does not|doesn't)", EVERYBODY, "request"),
        (_REFUSED, r"content filter|filtering policy|content policy|usage policy|guardrail|(input|output|request|prompt) (was |is )?(blocked|refused)|blocked by", ITEM, "content"),
        (_REFUSED, r"(at|in) system\b|\bsystem: ", EVERYBODY, "request"),  # the one system text of all prompts
        (_REFUSED, r"is blank|non-?empty|(not|cannot|can't) be (empty|blank)|expected minlength|whitespace", ITEM, "content"),
        (_REFUSED, r"inference profile|on-demand throughput|at 'modelid'|end of (its )?life|marked by provider as legacy|model (identifier|id)\b.{0,80}(invalid|unsupported|not )|model.{0,60}\b(not|n't|no longer) (be )?(found|supported|available|exist)|(resolve|find) (the )?(foundation )?model", EVERYBODY, "model"),
        (_REFUSED, r"extraneous key|extra inputs are not permitted|(unknown|unsupported|unrecognized) (parameter|field|key)|(doesn't|does not) support|both be specified|#/(?!messages)\w+: ", EVERYBODY, "request"),
        (_REFUSED, _SETTINGS + r".{0,80}(n't|not|unsupported|deprecated|must|may only|range|constraint|less|greater)", EVERYBODY, "request"),
        (_CHAT, r"(current|exceeded your|insufficient).{0,20}quota|billing|\bcredits?\b", EVERYBODY, "quota"),
        (_CHAT, r"context (length|size|window)|maximum context|(prompt|input|request) (is|are) too (long|large)|reduce the length", ITEM, "length"),
        (_CHAT, r"content (management )?policy|content filter|safety system", ITEM, "content"),
        (_CHAT, r"model\b.{0,80}(not found|does not exist|not supported|not loaded)|no such model", EVERYBODY, "model"),
        (_CHAT, r"(unsupported|unknown|unrecognized) (parameter|value|request argument)|extra inputs are not permitted|" + _SETTINGS + r".{0,80}(n't|not|unsupported|deprecated|must|less|greater)", EVERYBODY, "request"),
    )
)  # fmt: skip
"""What a message says more exactly than its code; the first that fits. Read in lower case, with plain apostrophes."""
