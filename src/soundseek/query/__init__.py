"""What a query is searched for: jargon, brands, UCS codes, other languages and negation in plain words."""

from soundseek.query.reading import Note, QueryReader, Reading, as_typed, read_query

__all__ = ["Note", "QueryReader", "Reading", "as_typed", "read_query"]
