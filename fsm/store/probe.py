"""The question put to a bucket before a run trusts it: does it keep what the journal stands on?"""

from __future__ import annotations

from fsm.errors import StoreError
from fsm.faults import Patient
from fsm.store.bucket import Bucket, Exists, Missing

CONTENT = b'{"fsm":"probe"}\n'


def probe(bucket: Bucket, key: str, where: str, ask: Patient) -> None:
    """Write one key twice if absent, read it, list it. Raises StoreError saying what the store does not do.

    `where` names the store to a person. The key is the same at every start, for nothing may need to be deleted: but
    for the first time both writes are refused, and that is as good an answer.
    """
    for _ in range(2):
        try:
            ask(lambda: bucket.put(key, CONTENT, absent=True))
            refused = False
        except Exists:
            refused = True
    if not refused:
        raise StoreError(
            f"{where} cannot hold a run: it ignores conditions (a key was written twice with If-None-Match: *), so two runners "
            "could overwrite each other's records. Use an S3 that holds them: Amazon's, Ceph, MinIO, MiniStack; not rclone serve s3, "
            "nor s3rver."
        )
    try:
        body = ask(lambda: bucket.get(key)).body
    except Missing:
        body = b""
    if body != CONTENT:
        raise StoreError(
            f"{where} cannot hold a run: {key} was written there and does not come back the same. Nothing else may write below this "
            "prefix; choose another prefix, or another store."
        )
    page = ask(lambda: bucket.list(key))
    if key not in [k for k, _ in page.keys]:
        raise StoreError(
            f"{where} cannot hold a run: {key} was written there and is not listed. A journal needs listings that show every "
            "object at once; choose another store."
        )
