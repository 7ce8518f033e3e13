"""What Temporal's errors mean to both sides."""

import pytest
from google.protobuf.message import Message
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure, NotFoundFailure
from temporalio.service import RPCError, RPCStatusCode

from goosejobs.clients.errors import NotFound, Unavailable
from goosejobs.clients.temporal import translated


def not_found(detail: Message) -> RPCError:
    """Temporal does not know something; the detail tells what."""
    status = GrpcStatus(code=RPCStatusCode.NOT_FOUND, message="not there")
    status.details.add().Pack(detail)
    return RPCError("not there", RPCStatusCode.NOT_FOUND, status.SerializeToString())


def test_a_workflow_or_schedule_that_is_not_there_is_gone() -> None:
    with pytest.raises(NotFound, match="cannot describe it: not there"), translated("describe it"):
        raise not_found(NotFoundFailure())


def test_a_namespace_that_is_not_there_tells_nothing_about_what_was_in_it() -> None:
    with pytest.raises(Unavailable), translated("describe it"):
        raise not_found(NamespaceNotFoundFailure(namespace="goosejobs"))
