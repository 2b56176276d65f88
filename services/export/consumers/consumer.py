"""Keeps labeled sessions in an SQLite table, each once and in its latest revision.

    python3 -m venv venv && venv/bin/pip install 'confluent-kafka[avro,schemaregistry]'
    venv/bin/python consumer.py sessions.db
    sqlite3 sessions.db 'SELECT process, count(*), sum(bytes) FROM sessions GROUP BY process ORDER BY 2 DESC'
"""

import os
import signal
import sqlite3
import sys
from pathlib import Path

from confluent_kafka import Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

TOPIC = "labeled-sessions"
setting = os.environ.get

config = {
    "bootstrap.servers": setting("PROCLABEL_BROKERS", "127.0.0.1:29092"),
    "group.id": "my-table",
    "auto.offset.reset": "earliest",
    # Committed below, behind the table: started again after a crash, it repeats, and what it repeats changes nothing.
    "enable.auto.commit": False,
}
if setting("PROCLABEL_KAFKA_USERNAME"):
    config |= {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": setting("PROCLABEL_KAFKA_CA_FILE"),
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": setting("PROCLABEL_KAFKA_USERNAME"),
        "sasl.password": Path(setting("PROCLABEL_KAFKA_PASSWORD_FILE")).read_text().strip(),
    }
registry = SchemaRegistryClient({"url": setting("PROCLABEL_REGISTRY", "http://127.0.0.1:8081/apis/ccompat/v7")})
decode = AvroDeserializer(registry)

table = sqlite3.connect(sys.argv[1])
table.execute(
    "CREATE TABLE IF NOT EXISTS sessions (session_id TEXT PRIMARY KEY, revision INTEGER, first_seen TEXT, host_id TEXT,"
    " process TEXT, pid INTEGER, stage TEXT, unknown_cause TEXT, remote_ip TEXT, remote_port INTEGER, bytes INTEGER)"
)
UPSERT = (
    "INSERT INTO sessions VALUES (?,?,?,?,?,?,?,?,?,?,?)"
    " ON CONFLICT (session_id) DO UPDATE SET revision = excluded.revision, process = excluded.process,"
    " pid = excluded.pid, stage = excluded.stage, unknown_cause = excluded.unknown_cause, bytes = excluded.bytes"
    " WHERE excluded.revision > revision"
)


def row(session):
    label = session["label"] or {}
    return (
        session["session_id"],
        session["revision"],
        session["first_us"].isoformat(),
        session["host_id"],
        label.get("process"),
        label.get("pid"),
        session["stage"],
        session["unknown_cause"],
        session["remote_ip"],
        session["remote_port"],
        session["bytes_out"] + session["bytes_in"],
    )


running = True


def stop(*_):
    global running
    running = False


signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
consumer = Consumer(config)
consumer.subscribe([TOPIC])
while running:
    messages = [message for message in consumer.consume(1000, timeout=1) if message.value() is not None]
    for message in messages:
        if message.error():
            raise SystemExit(str(message.error()))
    if not messages:
        continue
    context = SerializationContext(TOPIC, MessageField.VALUE)
    with table:
        table.executemany(UPSERT, [row(decode(message.value(), context)) for message in messages])
    consumer.commit(asynchronous=False)
consumer.close()
