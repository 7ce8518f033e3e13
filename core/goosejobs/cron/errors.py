"""Why a schedule is refused, in sentences for the person who wrote it."""


class CronError(ValueError):
    """An expression that cannot be served as written.

    Attributes:
        message: One sentence: what is wrong, and what to write instead. It does not name the object's field.
        index: Which of the expressions it is, from 0, so that a caller can name `spec.schedules[1]`.
    """

    def __init__(self, message: str, index: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.index = index


class NeverFires(CronError):
    """The expression is well-formed, but no moment matches it, as in `0 0 31 2 *`."""


class InvalidTimeZone(CronError):
    """`spec.timeZone` is not the name of a zone; `index` means nothing here and is 0."""
