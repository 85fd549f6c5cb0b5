"""Keeps the records whose value matches a regular expression, in Python's own syntax.

| configuration | |
|---|---|
| `pattern` | what is looked for anywhere in the value (has to be set) |
| `invert` | `true`: keep what does not match (default: `false`) |

Exported is the interface `record-filter-typed` of the world `typed-filter`. An exception makes the call a trap; in `configure`, an
`Err` is the refusal. What is imported is imported when the component is built: when it runs there are no files.
"""

import functools
import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import record_filter_typed
from wit_world.imports import log


def last_words(function):
    """Logs what is about to become a trap: there is no standard error for the interpreter to say it on."""

    @functools.wraps(function)
    def wrapped(*args):
        try:
            return function(*args)
        except Err:
            raise
        except Exception as error:
            log.log(log.Level.CRITICAL, f"{type(error).__name__}: {error}")
            raise

    return wrapped


class RecordFilterTyped(exports.RecordFilterTyped):
    """The filter. Each call is made on a fresh object, so that what lasts is the class's."""

    pattern: re.Pattern[bytes]
    invert: bool

    @last_words
    def configure(self, config: list[tuple[str, str]]) -> None:
        settings = dict(config)
        pattern = settings.pop("pattern", None)
        invert = settings.pop("invert", "false")
        for key in settings:
            raise Err(f"this plugin has no `{key}`, it has `pattern` and `invert`")
        if pattern is None:
            raise Err("`pattern` has to be set")
        if invert not in ("true", "false"):
            raise Err(f"`invert` is true or false, and not {invert!r}")
        try:
            RecordFilterTyped.pattern = re.compile(pattern.encode())
        except re.error as error:
            raise Err(f"`pattern` is no regular expression: {error}")
        RecordFilterTyped.invert = invert == "true"

    @last_words
    def filter(self, records: list[record_filter_typed.Record]) -> list[bool]:
        search, invert = self.pattern.search, self.invert
        kept = [(search(record.value or b"") is None) == invert for record in records]
        if not any(kept):
            log.log(log.Level.DEBUG, f"nothing left of {len(kept)} records")
        return kept
