"""Write the schemas anew, and remove those of topics that are gone."""

from unrip.messages.schemas import FOLDER, schema_file, schema_text
from unrip.messages.topics import TOPICS

for stale in set(FOLDER.glob("*.json")) - {schema_file(topic) for topic in TOPICS.values()}:
    stale.unlink()
for topic in TOPICS.values():
    schema_file(topic).write_text(schema_text(topic))
