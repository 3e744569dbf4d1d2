"""The one error of this package."""


class WireError(ValueError):
    """Raised when bytes are not an encoded request, or one that OTLP forbids.

    `offset` is where reading stopped (the tag, size or value that is wrong), counted
    from the start of the buffer that was given; `reason` is a constant phrase without
    data of the sender. The same bytes fail again: callers answer that they are invalid.
    """

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.offset = offset
        self.reason = reason
