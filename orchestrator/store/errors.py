"""Errors of the event log, by what the caller can do next.

    StoreError
    ├── StoreUnavailable      nothing was written; retry later
    ├── SequenceConflict      read the end of the log and decide again
    │   └── TrajectoryExists  choose another id, or read the existing trajectory
    ├── IdempotencyKeyExists  read what the earlier request with this key did
    ├── TrajectoryNotFound    no trajectory has this id
    │   └── TrajectoryPruned  it was deleted
    ├── NotStorable           the value has no JSON form; repair it
    ├── StoreDamaged          the file is corrupt; restore a backup
    └── at start-up only, each with its remedy:
        ├── StoreInUse          another orchestrator has the database
        ├── StoreMisconfigured  the database URL is wrong
        └── SchemaUnsupported   the tables are not those of this version

Errors of the database driver are kept as the cause and never reach a caller themselves.
"""

from __future__ import annotations


class StoreError(Exception):
    """Base of all errors of the event log. Every error is made from its message alone."""


class StoreUnavailable(StoreError):
    """The database cannot answer now: disk full, locked, read-only, I/O error, or closed.

    A write that ends so is normally not in the log. After an I/O error it may be, so read the end of the log before
    writing again; an append repeated with the same `after` cannot go in twice.
    """


class SequenceConflict(StoreError):
    """The log ends elsewhere than at `after`: another writer appended."""


class TrajectoryExists(SequenceConflict):
    """A trajectory of this id was created before."""


class IdempotencyKeyExists(StoreError):
    """An earlier request had this idempotency key."""


class TrajectoryNotFound(StoreError):
    """No trajectory has this id."""


class TrajectoryPruned(TrajectoryNotFound):
    """The trajectory of this id was deleted."""


class NotStorable(StoreError):
    """A value has no JSON form: not finite, not serializable, nested too deep, or half of a surrogate pair."""


class StoreDamaged(StoreError):
    """The database, or one row of it, is not what this program writes."""


class StoreInUse(StoreError):
    """Another process holds this database."""


class StoreMisconfigured(StoreError):
    """The database URL, or an option in it, cannot be used."""


class SchemaUnsupported(StoreError):
    """The tables were made by a newer version or by another program."""
