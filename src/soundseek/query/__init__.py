"""What a query is searched for: jargon, brands, UCS codes, other languages and negation in plain words."""

from soundseek.query.reading import Note, QueryReader, Reading, as_typed, read_query
from soundseek.query.several import all_of, beside_each_other, descriptions

__all__ = [
    "Note",
    "QueryReader",
    "Reading",
    "all_of",
    "as_typed",
    "beside_each_other",
    "descriptions",
    "read_query",
]
