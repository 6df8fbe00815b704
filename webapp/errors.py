"""The exception tree. Each error carries the one sentence its reader is shown; nothing else of it leaves the program.

AppError
├── InvalidRequest      what was asked cannot be drawn (400); names the fields
├── NotFound            no such job or picture for this person (404)
├── Refused             not allowed from here (403)
├── Busy                too much is waiting already (429)
│   └── Paused          the host lets no guests in for a while (503)
├── ModelError          the checkpoint cannot be found, fetched or loaded (503)
└── DrawingFailed       the engine gave up on this picture (500 of a job, never of a page)
"""


class AppError(Exception):
    """Base of all errors that have a sentence for the user; `status` is the HTTP status a page answers with."""

    status = 500

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class InvalidRequest(AppError):
    """A request that breaks a rule. `fields` maps a field's name to the sentence about it."""

    status = 400

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(" ".join(fields.values()))
        self.fields = fields


class NotFound(AppError):
    status = 404


class Refused(AppError):
    status = 403


class Busy(AppError):
    """`retry_after` is in seconds."""

    status = 429

    def __init__(self, sentence: str, retry_after: int = 10) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class Paused(Busy):
    status = 503


class ModelError(AppError):
    status = 503


class DrawingFailed(AppError):
    pass
