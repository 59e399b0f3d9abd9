"""Write the schemas anew."""

from unrip.messages.schemas import write_schemas

write_schemas()
