"""The events that the frame logs, as plain data: to know them, nobody loads what writes them (`logs.py`)."""

from __future__ import annotations

#: Every event that the frame logs in each service, with its meaning; a service names its own in its definition.
EVENTS: dict[str, str] = {
    "started": "the service is wired and its port is open",
    "draining": "nothing new is taken; what is in flight is finished",
    "stopped": "the process is about to exit",
    "active": "this instance holds the lock of its role",
    "standby": "another instance holds the lock of this role",
    "role_not_held": "nobody else has the lock of this role, and yet it is not ours; see its reason",
    "role_unconfirmed": "this instance stood still, so it does nothing until the lock says whose the role is",
    "role_left": "the database refused what this instance asked, so another one may try; it is wanted again soon",
    "trouble": "the broker refuses to take or give what it should, in its words, until `trouble_over`",
    "trouble_over": "it does so again",
    "stop_incomplete": "a step of the stop took too long, so it was left undone; what it was stands in its reason",
    "spool_unusable": "the file that keeps control records while Kafka is away cannot be read or shortened",
    "control_refused": "requests on the control port were refused by their token, path or body; at most a line in 10 s",
    "invalid_message": "a record or frame could not be decoded; its dead letter follows unless `trouble` names it",
    "armed": "an operator armed the service, or the lease that survives restarts armed it again",
    "disarmed": "an operator or the end of a lease disarmed the service, or a lease does not arm it again",
    "lease_not_kept": "a lease that should survive restarts could not be kept or read; it ends with its process",
    "lease_not_forgotten": "the file of a surviving lease could not be deleted; do it by hand",
    "halted": "an operator halted the service",
    "paused": "an operator paused the service",
    "resumed": "an operator resumed the service",
    "control_applied": "an operator's other action was followed",
    "control_failed": "an operator's action was refused or could not be recorded",
    "postgres_lost": "the database does not do what it is there for, and why",
    "postgres_recovered": "the database takes writes again",
    "kafka_lost": "the broker does not answer",
    "kafka_recovered": "the broker answers again",
    "records_lost": "retention deleted records before they were read",
    "topic_recreated": "a topic has another id than the stored one; an operator must decide",
    "topic_truncated": "a topic ends before the place that was to be read next: the broker has lost records of it",
}
