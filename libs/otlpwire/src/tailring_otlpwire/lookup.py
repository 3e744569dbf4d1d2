"""Some attributes out of a map, by name; of several with one name the first."""

from mypy_extensions import i64, mypyc_attr

from tailring_otlpwire.fields import Fields
from tailring_otlpwire.values import Value, read_key, read_key_value


@mypyc_attr(acyclic=True)
class Lookup:
    """The values of given names in one map, which is read in one or more messages."""

    def __init__(self, names: list[bytes]) -> None:
        self._places: dict[bytes, int] = {}
        for name in names:
            self._places.setdefault(name, len(self._places))
        self._found: list[Value | None] = [None] * len(self._places)

    def clear(self) -> None:
        """Begin another map."""
        for place in range(len(self._found)):
            self._found[place] = None

    def read(self, buf: bytes, pos: i64, end: i64, tag: i64, nesting: i64) -> None:
        """Look at the attributes of the message in buf[pos:end].

        `tag` is that of its attributes, `nesting` counts the messages around its
        fields. Raises WireError.
        """
        fields = Fields(buf, pos, end, nesting)
        while fields.next():
            if fields.tag == tag:
                self.add(buf, fields)

    def add(self, buf: bytes, field: Fields) -> None:
        """Look at one attribute, which is the field that was just read."""
        place = self._places.get(
            read_key(buf, field.body, field.pos, field.nesting + 1)
        )
        if place is not None and self._found[place] is None:
            value = Value(field.nesting + 2)
            read_key_value(buf, field.body, field.pos, value)
            self._found[place] = value

    def get(self, name: bytes) -> Value | None:
        """Return the value of one of the names, if it was there."""
        return self._found[self._places[name]]
