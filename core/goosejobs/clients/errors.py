"""What can go wrong with an outside system, as the rest of the code needs to tell it apart."""


class ClientError(Exception):
    """An outside system did not do what was asked; str() is one sentence for people, without secrets."""


class Unavailable(ClientError):
    """It cannot answer now (down, overloaded, timed out): asking later may work.

    Attributes:
        retry_after: Seconds the server asked us to wait, if it said so.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotFound(ClientError):
    """There is no such thing (any more)."""


class Conflict(ClientError):
    """It exists already, or changed since we read it (resourceVersion or uid): read again."""


class Rejected(ClientError):
    """It understood and refuses the content: asking again with the same content is no use."""


class Forbidden(ClientError):
    """We may not do this: missing RBAC or wrong credentials."""
