"""The RPCs that erase a person and that tell how far an erasure is."""

from __future__ import annotations

import re
from typing import Final

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp_chassis.actions import Asked
from dmp_ingest.api.convert_erasure import erasure_to_proto, preview_to_proto, whom_from_proto
from dmp_ingest.domain.errors import ErasureNotFoundError
from dmp_ingest.erase_everywhere import Stores, erase_user, find_erasure, preview_erasure

_MAX_ID_LENGTH: Final = 255
_UUID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


class ErasureRpcs:
    """Erases people. Each method raises what the proto lists."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def erase(self, request: pb.EraseUserRequest, asked: Asked) -> pb.EraseUserResponse:
        """Erases a person, or tells what an erasure would take."""
        whom = whom_from_proto(request)
        if request.dry_run:
            erased = await preview_erasure(whom, people=self._stores.people)
            return pb.EraseUserResponse(receipt=preview_to_proto(erased))
        return pb.EraseUserResponse(receipt=erasure_to_proto(await erase_user(whom, asked=asked, stores=self._stores)))

    async def get(self, request: pb.GetErasureRequest) -> pb.GetErasureResponse:
        """An erasure as it is now."""
        if _UUID(request.erasure_id) is None:
            raise ErasureNotFoundError(erasure_id=request.erasure_id[:_MAX_ID_LENGTH])
        erasure = await find_erasure(request.erasure_id, erasures=self._stores.erasures)
        return pb.GetErasureResponse(receipt=erasure_to_proto(erasure))
