"""What a query is searched for: jargon, onomatopoeia, brands, UCS codes, other languages and negation in plain words."""

from soundseek.query.reading import Note, QueryReader, Reading, read_query

__all__ = ["Note", "QueryReader", "Reading", "read_query"]
