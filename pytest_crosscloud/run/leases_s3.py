"""A register in a bucket of S3 or what is compatible with it: an object per name, replaced by conditional PUTs.

``If-None-Match: *`` makes the first one, ``If-Match`` with the ETag that was read replaces it: of two who read the same
the bucket refuses one, with 412 (conditional writes, Amazon S3 User Guide). Where they are kept, under which region and
with which credentials, is said as to any program of AWS: ``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_ACCESS_KEY_ID``,
``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN``, or the role of the instance or the pod.
"""

from __future__ import annotations

import os
import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..errors import ConfigurationError, CrosscloudError
from ..redact import redact
from .registers import Reading

if TYPE_CHECKING:
    from obstore.store import S3Store

_ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>[^?#]*))?")

#: An object that is written by whoever opens the bucket.
_PROBE = ".probe"

#: For one request; and for all attempts at it.
_TIMEOUT, _RETRY = "10s", timedelta(seconds=30)


class Bucket:
    """The objects of a bucket under a prefix.

    :raises ConfigurationError: no such bucket, it may not be written, or it heeds no conditions.
    """

    def __init__(self, address: str) -> None:
        match = _ADDRESS.fullmatch(address)
        if not match:
            # Not the address itself: what else may stand in it are a login and its secret.
            raise ConfigurationError(
                "leases: an address of a bucket is s3://bucket or s3://bucket/prefix",
                remedy="region, endpoint and credentials are taken from the environment, as by any program of AWS",
            )
        self._address = f"s3://{match['bucket']}/{(match['prefix'] or '').strip('/')}".rstrip("/")
        self._store = _open(match["bucket"], match["prefix"] or "")
        # The server's time is carried on by our own timer, which nobody sets: clocks of hosts do not matter.
        self._offset = self._probe() - time.clock_gettime(time.CLOCK_BOOTTIME)

    def read(self, name: str) -> Reading:
        now = time.clock_gettime(time.CLOCK_BOOTTIME) + self._offset
        try:
            found = self._store.get(_key(name))
            return Reading(str(found.meta["e_tag"]), bytes(found.bytes()).decode(), now)
        except FileNotFoundError:
            return Reading("", "", now)
        except Exception as error:
            raise self._unreachable(error) from None

    def replace(self, name: str, version: str, text: str) -> bool:
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            self._store.put(_key(name), text.encode(), mode={"e_tag": version} if version else "create")
        except (AlreadyExistsError, PreconditionError):
            return False
        except Exception as error:
            raise self._unreachable(error) from None
        return True

    def close(self) -> None:
        pass

    def _probe(self) -> float:
        """The server's time, once it is clear that conditions are heeded: old servers ignore them without a word."""
        try:
            self._store.put(_PROBE, b"")
            now = self._store.head(_PROBE)["last_modified"].timestamp()
            heeds = not self.replace(_PROBE, "", "1") and not self.replace(_PROBE, '"0"', "2")
        except Exception as error:
            said = error if isinstance(error, CrosscloudError) else self._unreachable(error)
            raise ConfigurationError(said.message, remedy=said.remedy) from None
        if not heeds:
            raise ConfigurationError(
                f"leases: {self._address} does not heed If-None-Match and If-Match: two could get the same lease",
                remedy="use a server with conditional writes, as Amazon S3, MinIO, Ceph and R2 have them",
            )
        return now

    def _unreachable(self, error: Exception) -> CrosscloudError:
        """What is wrong in one line, without what the server repeats of the request: that names the key."""
        text = str(error)
        code = re.search(r"<Code>(\w+)</Code>", text)
        words = code[1] if code else text.splitlines()[0].rpartition(" - ")[2]
        return CrosscloudError(
            f"leases: {self._address} cannot be used: {redact(words)}",
            remedy="see AWS_ENDPOINT_URL, AWS_REGION and the credentials: the bucket must be there, and writable",
        )


def _key(name: str) -> str:
    return quote(name, safe="/.")


def _open(bucket: str, prefix: str) -> S3Store:
    try:
        from obstore.store import S3Store
    except ImportError:
        raise ConfigurationError(
            "leases in a bucket need the package obstore", remedy="pip install 'pytest-crosscloud[s3]'"
        ) from None
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    options: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
    return S3Store(
        bucket,
        prefix=prefix,
        # TLS is what an address says: who writes http:// means a server inside.
        client_options={"timeout": _TIMEOUT, "allow_http": endpoint.startswith("http://")},
        retry_config={"max_retries": 3, "retry_timeout": _RETRY},
        **options,
    )
