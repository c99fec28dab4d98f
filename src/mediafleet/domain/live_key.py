"""Keys of live work: what makes one piece of it the same piece when it is handed in again.

A session whose instance died is taken over by another one, which cannot know which utterances were handed in already.
Both build the same idempotency key from what the piece is, so the second submission returns the first job.
"""

from __future__ import annotations

import hashlib
from urllib.parse import quote

from mediafleet.domain.errors import InvalidRequest

LONGEST_KEY = 200
"""Characters, as for every idempotency key."""
_DIGEST_BYTES = 20


def live_key(tenant: str, session: str, index: int, *parts: str | int) -> str:
    """Return the idempotency key of one piece of live work; different pieces have different keys.

    Args:
        tenant: Whose session it is. The store keeps keys by tenant as well; it stands here too, so that a key can be
            told apart in a log.
        session: Id of the session.
        index: Number of the utterance in its session, from 0.
        parts: What else tells pieces of one utterance apart, in a fixed order: the step, the target language …

    Raises:
        InvalidRequest: Tenant or session is empty, or the index is negative.
    """
    if not tenant or not session or index < 0:
        raise InvalidRequest("Live work is told apart by its tenant, its session and an index of 0 or more.")
    # Each part is escaped, so that no two lists of parts read the same: ("a/b", "c") is not ("a", "b/c").
    key = "live/" + "/".join(quote(str(part), safe="").replace("~", "%7E") for part in (tenant, session, index, *parts))
    if len(key) <= LONGEST_KEY:
        return key
    digest = hashlib.blake2b(key.encode(), digest_size=_DIGEST_BYTES).hexdigest()
    # Cut to what people recognize, and told apart by the digest of the whole. No key that was not cut has a '~'.
    return f"{key[: LONGEST_KEY - 2 * _DIGEST_BYTES - 1]}~{digest}"
